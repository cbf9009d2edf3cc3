// Package all lists every normalizer there is, by hand.
package all

import (
	"whatchanged/normalizers"
	"whatchanged/normalizers/api"
	"whatchanged/normalizers/aws"
	"whatchanged/normalizers/azure"
	"whatchanged/normalizers/azuredevops"
	"whatchanged/normalizers/bitbucket"
	"whatchanged/normalizers/cloudtrail"
	"whatchanged/normalizers/gcp"
	"whatchanged/normalizers/generic"
	"whatchanged/normalizers/gitea"
	"whatchanged/normalizers/github"
	"whatchanged/normalizers/github/auditlog"
	"whatchanged/normalizers/gitlab"
)

// Set returns the normalizers by provider.
func Set() normalizers.Set {
	set := make(normalizers.Set)
	for _, n := range []normalizers.Normalizer{
		api.New(),
		auditlog.New(),
		aws.New(),
		azure.New(),
		azuredevops.New(),
		bitbucket.New(),
		cloudtrail.New(),
		gcp.New(),
		generic.New(),
		gitea.New(),
		gitea.NewForgejo(),
		gitea.NewGogs(),
		github.New(),
		gitlab.New(),
	} {
		set[n.Provider()] = n
	}
	return set
}
