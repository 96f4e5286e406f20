// Command kustomize is the upstream kustomize, built as an ordinary module dependency to build deploy/kubernetes in tests.
package main

import (
	"os"

	"sigs.k8s.io/kustomize/kustomize/v5/commands"
)

func main() {
	if err := commands.NewDefaultCommand().Execute(); err != nil {
		os.Exit(1)
	}
}
