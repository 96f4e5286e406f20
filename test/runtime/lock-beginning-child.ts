/** Goes as far as one that tries for the lock goes first: SQLite reads before it takes what others may not have. */
import { DatabaseSync } from 'node:sqlite'

const database = new DatabaseSync(process.argv[2] ?? '')
database.exec('BEGIN; SELECT * FROM sqlite_schema')
process.stdout.write('reading\n')
setInterval(() => database.isOpen, 60_000)
