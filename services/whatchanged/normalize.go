package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/change"
)

func newNormalize(env *Environment) *cobra.Command {
	var headers []string
	var provider string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "normalize [FILE...]",
		Short: "Run the normalizers over payloads and print what comes out",
		Long: `Runs the normalizers over files, or standard input, as a delivery of each would
be, and prints the outcome and the changes. Nothing is sent anywhere.`,
		Example: `  whatchanged normalize push.json -H 'X-GitHub-Event: push'
  cat record.json | whatchanged normalize --json`,
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&headers, "header", "H", nil, "a request header, as 'Name: value'; may be repeated")
	flags.StringVar(&provider, "provider", "", "the provider a source would pin (default: detect it)")
	flags.BoolVar(&asJSON, "json", false, "print JSON, for programs")
	cmd.RunE = func(_ *cobra.Command, files []string) error {
		header, err := parseHeaders(headers)
		if err != nil {
			return err
		}
		if len(files) == 0 {
			files = []string{"-"}
		}
		set := all.Set()
		var results []normalized
		for _, file := range files {
			body, err := readInput(env, file)
			if err != nil {
				return err
			}
			now := change.At(time.Now())
			d := change.Delivery{
				ID: change.NewDeliveryID(now.Time), Org: "default", SourceID: "src_normalize", ReceivedAt: now,
				Header: header, Body: body, Provider: provider, Identity: normalizers.Identity(header),
			}
			results = append(results, newNormalized(file, set.Process(&d, normalizers.Settings{}, now.Time, now.Time)))
		}
		if asJSON {
			return printJSON(env.Stdout, results)
		}
		return printNormalized(env.Stdout, results)
	}
	return cmd
}

// normalized is what became of one file.
type normalized struct {
	File       string              `json:"file"`
	Outcome    change.Outcome      `json:"outcome"`
	Reason     string              `json:"reason,omitempty"`
	Provider   string              `json:"provider"`
	DetectedBy string              `json:"detected_by"`
	Changes    []change.Change     `json:"changes"`
	Dead       []change.DeadRecord `json:"dead,omitempty"`
}

func newNormalized(file string, r change.Result) normalized {
	changes := r.Changes
	if changes == nil {
		changes = []change.Change{}
	}
	return normalized{file, r.Outcome, r.Reason, r.Provider, r.DetectedBy, changes, r.Dead}
}

func printNormalized(w io.Writer, results []normalized) error {
	var dead []error
	for _, r := range results {
		fmt.Fprintf(w, "%s: %s, from %s (%s)", printable(r.File), r.Outcome, printable(r.Provider), printable(r.DetectedBy))
		if r.Reason != "" {
			fmt.Fprintf(w, ": %s", printable(r.Reason))
		}
		fmt.Fprintln(w)
		for _, c := range r.Changes {
			if err := printJSON(w, c); err != nil {
				return err
			}
		}
		for _, d := range r.Dead {
			fmt.Fprintf(w, "  record %d: %s\n", d.Index, printable(d.Reason))
		}
		if r.Outcome == change.Dead {
			dead = append(dead, fmt.Errorf("%s: %s", r.File, r.Reason))
		}
	}
	return errors.Join(dead...)
}

// maxInput bounds what is read from a file or standard input.
const maxInput = 64 << 20

// readInput reads a file, or standard input for "-".
func readInput(env *Environment, name string) ([]byte, error) {
	in := env.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > maxInput {
		return nil, fmt.Errorf("read %s: larger than %d MiB", name, maxInput>>20)
	}
	return text, nil
}
