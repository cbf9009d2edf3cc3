package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/sbom"
	"whatchanged/pkg/telemetry"
)

func newVersion(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version [FILE]",
		Short: "Say which version this is, and what it is made of",
		Long: `Prints the version of this program. --sbom prints its bill of materials instead,
in CycloneDX's JSON: every module that is linked into it, with the hashes of
go.sum, and the engine that it loads. FILE is another build of this version, for
a platform that this machine cannot run.`,
		Example: `  whatchanged version
  whatchanged version --sbom > whatchanged.cdx.json`,
		Args: args(cobra.MaximumNArgs(1)),
	}
	bill := cmd.Flags().Bool("sbom", false, "print the bill of materials (CycloneDX 1.6, JSON)")
	cmd.RunE = func(_ *cobra.Command, given []string) error {
		info, err := built(given)
		if err != nil {
			return err
		}
		if *bill {
			return sbom.Write(env.Stdout, info, telemetry.Version(), engine(info)...)
		}
		loads := "without the embedded engine"
		if len(engine(info)) > 0 {
			loads = "libchdb " + chdb.LibraryVersion
		}
		goos, goarch := platform(info)
		_, err = fmt.Fprintf(env.Stdout, "whatchanged %s, %s, %s/%s, %s\n", telemetry.Version(), info.GoVersion, goos, goarch, loads)
		return err
	}
	return cmd
}

// built returns what the linker wrote into a file, or into this program.
func built(file []string) (*debug.BuildInfo, error) {
	if len(file) == 1 {
		info, err := buildinfo.ReadFile(file[0])
		if err != nil {
			return nil, fmt.Errorf("read what %s is made of: %w", file[0], err)
		}
		return info, nil
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errors.New("this program was built without Go modules and does not know what it is made of")
	}
	return info, nil
}

// engine lists what a build loads at run time.
func engine(info *debug.BuildInfo) []sbom.Component {
	if slices.Contains(strings.Split(setting(info, "-tags"), ","), "nochdb") {
		return nil
	}
	name := chdb.Package(platform(info))
	return []sbom.Component{{
		Name: name, Version: chdb.LibraryVersion,
		PURL: "pkg:npm/" + strings.Replace(name, "@", "%40", 1) + "@" + chdb.LibraryVersion,
	}}
}

// platform returns what a build is for.
func platform(info *debug.BuildInfo) (goos, goarch string) {
	goos, goarch = setting(info, "GOOS"), setting(info, "GOARCH")
	if goos == "" || goarch == "" { // of tests
		return runtime.GOOS, runtime.GOARCH
	}
	return goos, goarch
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
