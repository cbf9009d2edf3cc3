package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/sbom"
	"whatchanged/pkg/telemetry"
)

func newVersion(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is, and what it is made of",
		Long: `Prints the version of this program. --sbom prints its bill of materials instead,
in CycloneDX's JSON: every module that is linked into it, with the hashes of
go.sum, and the engine that it loads.`,
		Example: `  whatchanged version
  whatchanged version --sbom > whatchanged.cdx.json`,
		Args: args(cobra.NoArgs),
	}
	bill := cmd.Flags().Bool("sbom", false, "print the bill of materials (CycloneDX 1.6, JSON)")
	cmd.RunE = func(*cobra.Command, []string) error {
		if !*bill {
			_, err := fmt.Fprintf(env.Stdout, "whatchanged %s, %s, %s/%s, %s\n",
				telemetry.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, engine())
			return err
		}
		info, ok := debug.ReadBuildInfo()
		if !ok {
			return errors.New("this program was built without Go modules and does not know what it is made of")
		}
		return sbom.Write(env.Stdout, info, telemetry.Version(), loaded()...)
	}
	return cmd
}

func engine() string {
	if _, ok := chdb.Package(); !ok {
		return "without the embedded engine"
	}
	return "libchdb " + chdb.LibraryVersion
}

// loaded lists what is loaded at run time and not linked in.
func loaded() []sbom.Component {
	name, ok := chdb.Package()
	if !ok {
		return nil
	}
	return []sbom.Component{{
		Name: name, Version: chdb.LibraryVersion,
		PURL: "pkg:npm/" + strings.Replace(name, "@", "%40", 1) + "@" + chdb.LibraryVersion,
	}}
}
