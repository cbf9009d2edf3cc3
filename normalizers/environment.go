package normalizers

import (
	"strings"

	"whatchanged/pkg/change"
)

// Environments that the names of things can point to.
const (
	Production  = "production"
	Staging     = "staging"
	Development = "development"
)

// Environment guesses the environment from the names of things (resource,
// account, branch), the first name that says one. Only whole words count, so a
// product is not prod, and what is before or beside production is not it:
// preprod is staging, nonprod says nothing. Mark a guess with HintEnvInferred.
func Environment(names ...string) (env string, ok bool) {
	for _, name := range names {
		if env := environmentOf(name); env != "" {
			return env, true
		}
	}
	return "", false
}

// hintProduction hints a change whose environment is production, as said,
// inferred or taken from the source. Who calls the API says the risk as well.
func hintProduction(c *change.Change) {
	if c.Provenance.Provider != apiProvider && environmentOf(c.Environment) == Production {
		c.RiskHints = AddHints(c.RiskHints, HintProduction)
	}
}

func environmentOf(name string) string {
	before := "" // the word before, in lower case
	for rest := name; rest != ""; {
		word := rest
		if i := strings.IndexAny(rest, "-_/.: "); i >= 0 {
			word, rest = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		if len(word) > len("nonproduction") {
			before = ""
			continue
		}
		word = strings.ToLower(word)
		switch word {
		case "prod", "production", "prd", "live":
			switch before {
			case "pre":
				return Staging
			case "non", "not", "no":
				return ""
			}
			return Production
		case "stage", "staging", "stg", "uat", "preprod", "preproduction":
			return Staging
		case "dev", "development", "sandbox", "test", "qa":
			return Development
		case "nonprod", "nonproduction":
			return ""
		}
		before = word
	}
	return ""
}
