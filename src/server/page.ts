import { html } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'
import type { Problem } from '../model/problem.ts'
import type {
  ApplicationStatus,
  DocumentStatus,
  HistoryEntry,
  Status,
  TargetStatus,
} from '../model/status.ts'
import { sourceCounts } from './source-counts.ts'
import { SECOND, formatDuration, formatInstant } from '../model/time.ts'
import type { Instant } from '../model/time.ts'
import { STYLE } from './page-style.ts'

type Html = HtmlEscapedString | Promise<HtmlEscapedString>

const SHOWN_APPLICATIONS = 200

/** The first page: what the agent does, what it holds, whose turn it is. Everything in it is in /status too. */
export function renderPage(status: Status, now: Instant): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="refresh" content="3" />
        <title>${status.name}: ${status.state} - Runtime Agent</title>
        <style>
          ${STYLE}
        </style>
      </head>
      <body>
        ${header(status, now)}
        <main>
          ${problems(status.problems)} ${identity(status, now)} ${sync(status, now)}
          ${labels(status)} ${applications(status.applications)} ${configuration(status)}
          ${history(status.history, now)}
        </main>
        <footer>
          Runtime Agent ${status.version} · <a href="/status">status as JSON</a> ·
          <a href="/metrics">metrics</a> · this page renews itself
        </footer>
      </body>
    </html>`
}

function header(status: Status, now: Instant): Html {
  const worst = condition(status)
  const nextUp = Number.isFinite(status.nextAt)
    ? html`next look ${relative(status.nextAt, now)}`
    : status.standby
      ? 'takes over when that one ends'
      : 'waits for you'
  return html`<header class="${worst}">
    <h1>${status.name}</h1>
    <p class="state">
      <strong>${status.state}</strong
      >${status.standby ? ' · standby' : ''}${status.paused ? ' · paused' : ''}: ${status.why}
    </p>
    ${status.running.map(
      ({ part, since }) =>
        html`<p class="quiet">working on ${part}, for ${formatDuration(now - since)}</p>`,
    )}
    <p class="quiet">
      runtime ${status.runtimeId ?? 'not known yet'} · up ${formatDuration(now - status.startedAt)}
      · ${nextUp} ${status.insecure ? html`· <b class="bad">TLS verification is OFF</b>` : ''}
    </p>
  </header>`
}

function condition(status: Status): 'ok' | 'warn' | 'bad' {
  if (status.problems.some(({ turn }) => turn !== 'agent')) return 'bad'
  return status.problems.length > 0 ? 'warn' : 'ok'
}

function problems(all: Problem[]): Html {
  if (all.length === 0) return html``
  const row = ({ code, message, hint, turn }: Problem) =>
    html`<li>
      <b>${message}</b> <code>${code}</code><br /><span class="quiet"
        >whose turn: ${turn} - ${hint}</span
      >
    </li>`
  return section(
    `Problems (${all.length})`,
    html`<ul class="problems">
      ${all.map(row)}
    </ul>`,
  )
}

function identity(status: Status, now: Instant): Html {
  const { identity: held, token } = status
  if (held === undefined) return section('Identity', html`<p>None yet; token: ${token}</p>`)
  const life = held.notAfter - held.notBefore
  const used = Math.min(100, Math.max(0, (100 * (now - held.notBefore)) / life))
  return section(
    'Identity',
    html`<div class="bar" title="${used.toFixed(0)} % of its life is over">
        <i style="width:${used.toFixed(1)}%"></i>
      </div>
      <dl>
        ${entry('certificate', `${held.fingerprint.slice(0, 16)}… (${held.condition})`)}
        ${entry('valid until', `${formatInstant(held.notAfter)} (${relative(held.notAfter, now)})`)}
        ${entry('renewal', `${formatInstant(held.renewAt)} (${relative(held.renewAt, now)})`)}
        ${entry('subject', held.subject)} ${entry('token', token)}
        ${entry('Connector', status.connectorUrl ?? '-')}
        ${entry('Director', status.directorUrl ?? '-')}
      </dl>`,
  )
}

function sync(status: Status, now: Instant): Html {
  const source = status.sources.map(
    (s) =>
      html`<tr>
        <td>from ${s.name}</td>
        <td>${sourceCounts(s)}${s.listening ? ', listens for changes' : ''}</td>
        <td>${s.lastSuccess === undefined ? 'never' : relative(s.lastSuccess, now)}</td>
        <td>${s.failures === 0 ? 'ok' : html`<b class="bad">${s.failures} failures</b>`}</td>
      </tr>`,
  )
  return section(
    'Sync',
    html`<table>
      <tbody>
        ${source} ${status.targets.map((target) => targetRow(target, now))}
      </tbody>
    </table>`,
  )
}

function targetRow(t: TargetStatus, now: Instant): Html {
  const held = (t.held ?? []).map(
    (h) => html`<br /><b class="bad">held: ${h.reason}</b> <code>agent approve ${h.hash}</code>`,
  )
  return html`<tr>
    <td>to ${t.name} (${t.kind})</td>
    <td>${t.objects ?? '-'} objects, ${t.changes ?? 0} changed ${held}</td>
    <td>${t.lastSuccess === undefined ? 'never' : relative(t.lastSuccess, now)}</td>
    <td>${t.failures === 0 ? 'ok' : html`<b class="bad">${t.failures} failures</b>`}</td>
  </tr>`
}

function labels(status: Status): Html {
  if (status.labels.length === 0) return html``
  const row = (label: Status['labels'][number]) =>
    html`<tr>
      <td>${label.key}</td>
      <td>${JSON.stringify(label.wanted)}</td>
      <td>${label.inStep ? 'in step' : html`<b class="bad">differs</b>`}</td>
    </tr>`
  return section(
    'Labels of the runtime',
    html`<table>
      <tbody>
        ${status.labels.map(row)}
      </tbody>
    </table>`,
  )
}

function applications(all: ApplicationStatus[]): Html {
  if (all.length === 0) return html``
  const row = (a: ApplicationStatus) =>
    html`<tr>
      <td>${a.name}</td>
      <td>${a.bundles} ${a.bundles === 1 ? 'bundle' : 'bundles'}</td>
      <td class="${a.condition === 'synced' ? '' : 'bad'}">${a.condition}</td>
      <td>${a.problems.map(({ message }) => html`${message}<br />`)}</td>
    </tr>`
  const more = all.length - SHOWN_APPLICATIONS
  return section(
    `Applications (${all.length})`,
    html`<table>
        <tbody>
          ${all.slice(0, SHOWN_APPLICATIONS).map(row)}
        </tbody>
      </table>
      ${more > 0 ? html`<p class="quiet">and ${more} more in /status</p>` : ''}`,
  )
}

function configuration({ configuration: all }: Status): Html {
  if (all === undefined) return html``
  const row = (d: DocumentStatus) =>
    html`<tr>
      <td>${d.kind}</td>
      <td>${d.namespace === undefined ? d.name : `${d.namespace}/${d.name}`}</td>
      <td class="${d.condition === 'synced' ? '' : 'bad'}">${d.condition}</td>
      <td>${d.problems.map(({ message }) => html`${message}<br />`)}</td>
    </tr>`
  const { documents, reported } = all
  const more = documents.length - SHOWN_APPLICATIONS
  const told = reported === undefined ? '' : `, told as ${reported.state}`
  return section(
    `Configuration (${documents.length}${told})`,
    html`<table>
        <tbody>
          ${documents.slice(0, SHOWN_APPLICATIONS).map(row)}
        </tbody>
      </table>
      ${more > 0 ? html`<p class="quiet">and ${more} more in /status</p>` : ''}`,
  )
}

function history(entries: HistoryEntry[], now: Instant): Html {
  if (entries.length === 0) return html``
  const row = (e: HistoryEntry) =>
    html`<tr>
      <td class="quiet">${relative(e.at, now)}</td>
      <td class="${e.level === 'info' ? '' : 'bad'}">${e.message}</td>
    </tr>`
  return section(
    'What happened',
    html`<table>
      <tbody>
        ${entries.slice(0, 20).map(row)}
      </tbody>
    </table>`,
  )
}

function section(title: string, content: Html): Html {
  return html`<section>
    <h2>${title}</h2>
    ${content}
  </section>`
}

function entry(term: string, text: string): Html {
  return html`<dt>${term}</dt>
    <dd>${text}</dd>`
}

function relative(at: Instant, now: Instant): string {
  if (Math.abs(at - now) < SECOND) return 'now'
  return at > now ? `in ${formatDuration(at - now)}` : `${formatDuration(now - at)} ago`
}
