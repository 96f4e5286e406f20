/** File name arithmetic of this system. Pure, but `node:` modules live in this folder only. */
export { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path'
