/** Text with its variables replaced, and whatever is wrong with them. */
type Substituted = { text: string; problems: string[] }

/** `$${` is an escape, `${NAME}` a variable, any other `${` a mistake. */
const VARIABLE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{/g

/**
 * Replaces `${NAME}` by the variable and `$${` by a literal `${`. The values are text and stay text: nothing in them is
 * read as YAML or substituted again.
 */
export function substitute(text: string, env: (name: string) => string | undefined): Substituted {
  const problems: string[] = []
  const replaced = text.replace(VARIABLE, (whole, name?: string) => {
    if (whole === '$${') return '${'
    if (name === undefined) {
      problems.push('found ${ without a variable, want ${NAME}, or $${ for the characters ${')
      return whole
    }
    const value = env(name)
    if (value === undefined) problems.push(`the variable ${name} is not set`)
    return value ?? whole
  })
  return { text: replaced, problems }
}
