import { raw } from 'hono/html'

/** Inline, so that the page needs nothing else and its policy can forbid everything else. */
export const STYLE = raw(`
:root { color-scheme: light dark; --line: #8884; --quiet: #888; --ok: #2e8b57; --warn: #c98a00; --bad: #c0392b }
* { box-sizing: border-box }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 64rem; padding: 1rem }
header { border-left: .4rem solid var(--ok); padding: .2rem 1rem; margin-bottom: 1rem }
header.warn { border-color: var(--warn) }
header.bad { border-color: var(--bad) }
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1rem; margin: 0 0 .5rem; text-transform: uppercase; letter-spacing: .05em; color: var(--quiet) }
.state { font-size: 1.15rem; margin: .2rem 0 }
td.quiet { white-space: nowrap }
.quiet { color: var(--quiet); margin: 0 }
section { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; margin-bottom: 1rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td { padding: .25rem .8rem .25rem 0; border-top: 1px solid var(--line); vertical-align: top }
tr:first-child td { border-top: 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .6rem 0 0 }
dt { color: var(--quiet) }
dd { margin: 0; overflow-wrap: anywhere }
.bad { color: var(--bad) }
.bar { height: .6rem; border-radius: .3rem; background: var(--line); overflow: hidden }
.bar i { display: block; height: 100%; background: var(--ok) }
ul.problems { margin: 0; padding-left: 1.1rem }
code { font-size: .85em; background: var(--line); padding: 0 .3em; border-radius: .2em; user-select: all }
footer { color: var(--quiet); font-size: .85rem }
`)
