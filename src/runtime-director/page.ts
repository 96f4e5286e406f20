import { html, raw } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'
import type { Overview, RuntimeInfo, VersionInfo } from './overview.ts'
import type { Tables } from './tables.ts'

type Html = HtmlEscapedString | Promise<HtmlEscapedString>

/** What the page shows: which runtimes run what. */
export type PageFacts = {
  overview: Overview
  versions: VersionInfo[]
  runtimes: RuntimeInfo[]
  /** The id after which the next page begins. */
  more: string | undefined
  pending: Tables['pending'][]
}

/** One page without script, so that its policy can forbid all. */
export function renderPage({ overview, versions, runtimes, more, pending }: PageFacts): Html {
  const { newest, reports } = overview
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="refresh" content="10" />
        <title>Runtime Director</title>
        <style>
          ${STYLE}
        </style>
      </head>
      <body>
        <header class="${condition(overview)}">
          <h1>Runtime Director</h1>
          <p>${newest === undefined ? 'nothing is published' : rolloutText(newest)}</p>
          <p class="quiet">
            ${overview.runtimes} runtimes: ${reports.applied} applied, ${reports.partly} partly,
            ${reports.failed} failed, ${reports.pending} not yet, ${reports.unknown} never reported
            ${overview.store.problem === undefined ? '' : html`· <b>${overview.store.problem}</b>`}
          </p>
        </header>
        <main>
          ${waiting(pending)} ${table('Runtimes', RUNTIME_HEAD, runtimes.map(runtimeRow))}
          ${
            more === undefined
              ? ''
              : html`<p><a href="?after=${encodeURIComponent(more)}">more runtimes</a></p>`
          }
          ${table('Versions', VERSION_HEAD, versions.map(versionRow))}
        </main>
        <footer>
          <a href="/admin/v1/status">status as JSON</a> · <a href="/metrics">metrics</a> ·
          <a href="/admin/v1/openapi.json">API</a> · this page renews itself
        </footer>
      </body>
    </html>`
}

const RUNTIME_HEAD = ['runtime', 'groups', 'version', 'report', 'seen', 'resources']
const VERSION_HEAD = ['version', 'published', 'by', 'changed', 'rollout']

function condition({ newest, reports, store }: Overview): string {
  if (store.problem !== undefined || newest?.rollout.state === 'stopped') return 'bad'
  return reports.failed + reports.partly > 0 ? 'warn' : 'ok'
}

function rolloutText({ number, reason, rollout }: VersionInfo): string {
  const why = rollout.why === undefined ? '' : `: ${rollout.why}`
  return `version ${number} (${reason}), ${rollout.percent} % of the runtimes, ${rollout.state}${why}`
}

function waiting(pending: Tables['pending'][]): Html {
  if (pending.length === 0) return html``
  const rows = pending.map(({ cn, runtime }) => [
    html`${runtime}`,
    html`${cn}`,
    html`<code>agent runtime-director admit ${runtime} ${cn}</code>`,
  ])
  return table('Waiting to be admitted', ['runtime', 'certificate', 'to admit it'], rows)
}

function runtimeRow({ id, groups, version, report, seenAt, resources }: RuntimeInfo): Html[] {
  const isBad = report.state === 'failed' || report.state === 'partly'
  const [first] = report.problems
  return [
    html`${id}`,
    html`${groups.join(', ')}`,
    html`${version ?? '-'}`,
    html`<span class="${isBad ? 'bad' : ''}">${report.state}</span>
      ${isBad && first !== undefined ? html`<br />${first.message}` : ''}`,
    html`${seenAt ?? 'never'}`,
    html`<details>
      <summary>${resources.length}</summary>
      ${resources.map((one) => html`${one}<br />`)}
    </details>`,
  ]
}

function versionRow({
  number,
  createdAt,
  createdBy,
  changed,
  reason,
  rollout,
}: VersionInfo): Html[] {
  return [
    html`${number} ${reason === 'publish' ? '' : `(${reason})`}`,
    html`${createdAt}`,
    html`${createdBy}`,
    html`${changed}`,
    html`${rollout.percent} % ${rollout.state} ${rollout.why ?? ''}`,
  ]
}

function table(title: string, head: string[], rows: Html[][]): Html {
  return html`<section>
    <h2>${title}</h2>
    <table>
      <thead>
        <tr>
          ${head.map((one) => html`<th>${one}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${row.map((cell) => html`<td>${cell}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`
}

const STYLE = raw(`
:root { color-scheme: light dark; --line: #8884; --quiet: #888; --ok: #2e8b57; --warn: #c98a00; --bad: #c0392b }
* { box-sizing: border-box }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1rem }
header { border-left: .4rem solid var(--ok); padding: .2rem 1rem; margin-bottom: 1rem }
header.warn { border-color: var(--warn) }
header.bad { border-color: var(--bad) }
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1rem; margin: 0 0 .5rem; text-transform: uppercase; letter-spacing: .05em; color: var(--quiet) }
p { margin: .2rem 0 }
.quiet { color: var(--quiet) }
.bad { color: var(--bad); font-weight: bold }
section { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; margin-bottom: 1rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td, th { padding: .25rem .8rem .25rem 0; border-top: 1px solid var(--line); vertical-align: top; text-align: left; overflow-wrap: anywhere }
th { border-top: 0; color: var(--quiet); font-weight: normal }
code { font-size: .85em; background: var(--line); padding: 0 .3em; border-radius: .2em; user-select: all }
footer { color: var(--quiet); font-size: .85rem }
`)
