package aws_test

import (
	"testing"

	"golang.org/x/tools/txtar"

	"whatchanged/normalizers/aws"
	"whatchanged/normalizers/normtest"
)

func BenchmarkNormalize(b *testing.B) {
	for name, into := range map[string]func() any{
		"pipeline-started": func() any { return new(wireEvent) },
		"ecs-rollback":     func() any { return new(wireEvent) },
		"item-changed":     func() any { return new(wireEvent) },
		"ecs-steady":       func() any { return new(wireEvent) },
		"sns-alarm":        func() any { return new(map[string]any) },
	} {
		b.Run(name, func(b *testing.B) {
			normtest.Bench(b, aws.New(), normtest.Records(b, payload(b, name))[0], into)
		})
	}
}

// payload returns the body of a golden case.
func payload(tb testing.TB, name string) []byte {
	tb.Helper()
	archive, err := txtar.ParseFile("testdata/" + name + ".txtar")
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range archive.Files {
		if f.Name == "body.json" {
			return f.Data
		}
	}
	tb.Fatalf("%s has no body.json", name)
	return nil
}

// wireEvent is an EventBridge event as a Go program would declare it.
type wireEvent struct {
	Version    string         `json:"version"`
	ID         string         `json:"id"`
	DetailType string         `json:"detail-type"`
	Source     string         `json:"source"`
	Account    string         `json:"account"`
	Time       string         `json:"time"`
	Region     string         `json:"region"`
	Resources  []string       `json:"resources"`
	Detail     map[string]any `json:"detail"`
}
