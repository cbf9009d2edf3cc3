package azure

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// maxTags is the most tags a resource of Azure can have.
const maxTags = 50

// setTags takes a resource's tags, and the environment where one of them says it.
func setTags(c *change.Change, tags gjson.Result) {
	tags.ForEach(func(key, v gjson.Result) bool {
		if v.Type != gjson.String || redact.Secret(key.Str) {
			return true
		}
		c.Tags = append(c.Tags, key.Str+":"+v.Str)
		switch strings.ToLower(key.Str) {
		case "env", "environment", "stage":
			c.Environment = first(c.Environment, v.Str)
		}
		return len(c.Tags) < maxTags
	})
}

// inferEnvironment takes the environment from names where nothing else says it.
func inferEnvironment(c *change.Change, names ...string) {
	if c.Environment != "" {
		return
	}
	if env, ok := normalizers.Environment(names...); ok {
		c.Environment = env
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintEnvInferred)
	}
}
