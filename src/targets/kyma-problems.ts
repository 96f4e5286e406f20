import type { Application, Bundle } from '../model/application.ts'
import { problem } from '../model/problem.ts'
import type { Code, Problem } from '../model/problem.ts'
import type { SourceProblem } from '../model/target.ts'

/* What can be wrong with a single application or bundle in the target kyma, each in its own words. */

export function invalidName(application: Application, name: string): SourceProblem {
  const why = `Kubernetes takes no object of the name ${quoted(name)}`
  return withheld(application, 'application_invalid', why)
}

export function nameTaken(application: Application, name: string, id: string): SourceProblem {
  return withheld(application, 'name_taken', `the Application ${name} is that of ${id}`)
}

export function nameGoing(application: Application, name: string): SourceProblem {
  const why = `the Application ${name} of before is removed, but its finalizers keep it there`
  return withheld(application, 'name_taken', why)
}

export function nameForeign(application: Application, name: string): SourceProblem {
  const why = `there is an Application ${name} that is not of Compass`
  return withheld(application, 'object_foreign', why)
}

/** The CR of an application that is gone from Compass has the name, and may not go yet. */
export function nameWaits(title: string, name: string): Problem {
  const message = `Cannot write the Application of ${title} before ${name}, whose application is gone from Compass, is removed`
  return problem('name_taken', message, {
    subject: title,
    turn: 'agent',
    hint: 'the deletion waits for a person or for more fetches: look with agent plan',
  })
}

function withheld(application: Application, code: Code, why: string): SourceProblem {
  const { id, name } = application
  return {
    owner: { slice: 'applications', application: id },
    problem: problem(code, `Cannot write the Application of ${name}: ${why}`, { subject: name }),
    withheld: true,
  }
}

/** Everything works, but who selects by the label finds another value. */
export function longName(application: Application, name: string): SourceProblem {
  const message = `Cannot label the Secrets of ${application.name} with all of ${name}: a label holds 63 characters, so it is cut`
  const hint = 'nothing else is affected; a shorter name in Compass counts for a new Application'
  return {
    owner: { slice: 'applications', application: application.id },
    problem: problem('application_invalid', message, { subject: application.name, hint }),
    withheld: false,
  }
}

export function copied(id: string, name: string, original: string): SourceProblem {
  const message = `Cannot tell what the Application ${name} is for: it names the application ${id}, which has ${original}, so it is left as it is`
  return {
    owner: { slice: 'applications', application: id },
    problem: problem('object_foreign', message, {
      subject: name,
      hint: 'remove it, or its spec.compassMetadata',
    }),
    withheld: false,
  }
}

/** Credentials of a kind without a private key. */
export function unsupported(application: Application, bundle: Bundle, kind: string): Problem {
  const why = `Compass gives no private key for ${kind}`
  return ofBundle(application, bundle, 'credentials_unsupported', why)
}

export function incomplete(application: Application, bundle: Bundle): Problem {
  const why = 'one half of them is empty'
  return ofBundle(application, bundle, 'application_invalid', why)
}

export function idInvalid(application: Application, bundle: Bundle): Problem {
  const why = `the id ${quoted(bundle.id)} of the bundle can be no part of the name of a Secret`
  return ofBundle(application, bundle, 'application_invalid', why)
}

export function bundleTaken(application: Application, bundle: Bundle): Problem {
  const why = 'another application has a bundle of the same id'
  return ofBundle(application, bundle, 'name_taken', why)
}

export function unknownNow(application: Application, bundle: Bundle): Problem {
  const subject = subjectOf(application, bundle)
  const message = `Cannot tell whether ${subject} still has credentials: Compass shows none, and what was known before is lost, so what is published stays`
  return problem('credentials_missing', message, { subject })
}

function ofBundle(application: Application, bundle: Bundle, code: Code, why: string): Problem {
  const subject = subjectOf(application, bundle)
  return problem(code, `Cannot publish the credentials of ${subject}: ${why}`, { subject })
}

function subjectOf(application: Application, bundle: Bundle): string {
  return `${application.name} / ${bundle.name}`
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100))
}
