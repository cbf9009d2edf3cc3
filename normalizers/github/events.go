package github

import (
	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

// event is what one of GitHub's events becomes: changes of a type, which words
// in titles and names may still change, or nothing.
type event struct {
	ignored  string // why it makes no change
	kind     change.Type
	describe func(*builder, any)
}

// Why an event makes no change.
const (
	comment  = "comment"
	checks   = "check of a commit"
	tracking = "issue tracking"
	starred  = "star"
)

// events are all that go-github and GitHub's documents know, those of GitHub
// Enterprise Server and those that are no longer sent among them. What is not
// here becomes a change of type other.
var events = map[string]event{
	"branch_protection_configuration":        {kind: change.ConfigChange, describe: untyped((*builder).protectionConfiguration)},
	"branch_protection_rule":                 {kind: change.ConfigChange, describe: typed((*builder).branchProtection)},
	"bypass_request_push_ruleset":            {kind: change.AccessChange, describe: untyped((*builder).exemption)},
	"bypass_request_secret_scanning":         {kind: change.AccessChange, describe: untyped((*builder).exemption)},
	"cache_sync":                             {kind: change.Other, describe: untyped((*builder).cacheSync)},
	"check_run":                              {ignored: checks},
	"check_suite":                            {ignored: checks},
	"code_scanning_alert":                    {kind: change.SecurityPatch, describe: typed((*builder).codeScanningAlert)},
	"commit_comment":                         {ignored: comment},
	"content_reference":                      {ignored: "preview of a link"},
	"create":                                 {kind: change.Code, describe: typed((*builder).createRef)},
	"custom_property":                        {kind: change.ConfigChange, describe: untyped((*builder).customProperty)},
	"custom_property_promoted_to_enterprise": {kind: change.ConfigChange, describe: untyped((*builder).customProperty)},
	"custom_property_values":                 {kind: change.ConfigChange, describe: untyped((*builder).customPropertyValues)},
	"delete":                                 {kind: change.Code, describe: typed((*builder).deleteRef)},
	"dependabot_alert":                       {kind: change.SecurityPatch, describe: typed((*builder).dependabotAlert)},
	"deploy_key":                             {kind: change.AccessChange, describe: typed((*builder).deployKey)},
	"deployment":                             {kind: change.Deployment, describe: typed((*builder).deployment)},
	"deployment_protection_rule":             {kind: change.Deployment, describe: typed((*builder).deploymentProtection)},
	"deployment_review":                      {kind: change.Deployment, describe: untyped((*builder).deploymentReview)},
	"deployment_status":                      {kind: change.Deployment, describe: typed((*builder).deploymentStatus)},
	"discussion":                             {ignored: "discussion"},
	"discussion_comment":                     {ignored: comment},
	"dismissal_request_code_scanning":        {kind: change.AccessChange, describe: untyped((*builder).exemption)},
	"dismissal_request_dependabot":           {kind: change.AccessChange, describe: untyped((*builder).exemption)},
	"dismissal_request_secret_scanning":      {kind: change.AccessChange, describe: untyped((*builder).exemption)},
	"enterprise":                             {kind: change.AccessChange, describe: untyped((*builder).enterprise)},
	"exemption_request_push_ruleset":         {kind: change.AccessChange, describe: untyped((*builder).exemption)},
	"exemption_request_secret_scanning":      {kind: change.AccessChange, describe: untyped((*builder).exemption)},
	"fork":                                   {ignored: "fork"},
	"github_app_authorization":               {kind: change.AccessChange, describe: typed((*builder).appAuthorization)},
	"gollum":                                 {ignored: "wiki"},
	"installation":                           {kind: change.AccessChange, describe: untyped((*builder).installation)},
	"installation_repositories":              {kind: change.AccessChange, describe: untyped((*builder).installationRepositories)},
	"installation_target":                    {kind: change.ConfigChange, describe: typed((*builder).installationTarget)},
	"integration_installation":               {kind: change.AccessChange, describe: untyped((*builder).installation)},
	"integration_installation_repositories":  {kind: change.AccessChange, describe: untyped((*builder).installationRepositories)},
	"issue_comment":                          {ignored: comment},
	"issue_dependencies":                     {ignored: tracking},
	"issues":                                 {ignored: tracking},
	"label":                                  {ignored: tracking},
	"marketplace_purchase":                   {kind: change.Other, describe: untyped((*builder).marketplace)},
	"member":                                 {kind: change.AccessChange, describe: typed((*builder).member)},
	"membership":                             {kind: change.AccessChange, describe: typed((*builder).membership)},
	"merge_group":                            {kind: change.Code, describe: typed((*builder).mergeGroup)},
	"meta":                                   {kind: change.ConfigChange, describe: typed((*builder).webhookDeleted)},
	"milestone":                              {ignored: tracking},
	"org_block":                              {kind: change.AccessChange, describe: typed((*builder).orgBlock)},
	"organization":                           {kind: change.AccessChange, describe: typed((*builder).organization)},
	"package":                                {kind: change.Deployment, describe: untyped((*builder).packageVersion)},
	"page_build":                             {kind: change.Deployment, describe: typed((*builder).pageBuild)},
	"personal_access_token_request":          {kind: change.AccessChange, describe: typed((*builder).accessToken)},
	"ping":                                   {ignored: "ping"},
	"project":                                {ignored: tracking},
	"project_card":                           {ignored: tracking},
	"project_column":                         {ignored: tracking},
	"projects_v2":                            {ignored: tracking},
	"projects_v2_item":                       {ignored: tracking},
	"projects_v2_status_update":              {ignored: tracking},
	"public":                                 {kind: change.AccessChange, describe: typed((*builder).public)},
	"pull_request":                           {kind: change.Code, describe: typed((*builder).pullRequestEvent)},
	"pull_request_review":                    {ignored: "a review changes nothing yet"},
	"pull_request_review_comment":            {ignored: comment},
	"pull_request_review_thread":             {ignored: comment},
	"pull_request_target":                    {kind: change.Code, describe: typed((*builder).pullRequestTarget)},
	"push":                                   {kind: change.Code, describe: typed((*builder).push)},
	"registry_package":                       {kind: change.Deployment, describe: untyped((*builder).packageVersion)},
	"release":                                {kind: change.Code, describe: typed((*builder).release)},
	"repository":                             {kind: change.ConfigChange, describe: typed((*builder).repository)},
	"repository_advisory":                    {kind: change.SecurityPatch, describe: untyped((*builder).repositoryAdvisory)},
	"repository_dispatch":                    {kind: change.Other, describe: untyped((*builder).repositoryDispatch)},
	"repository_import":                      {kind: change.Other, describe: typed((*builder).repositoryImport)},
	"repository_ruleset":                     {kind: change.ConfigChange, describe: untyped((*builder).ruleset)},
	"repository_vulnerability_alert":         {kind: change.SecurityPatch, describe: untyped((*builder).vulnerabilityAlert)},
	"secret_scanning_alert":                  {kind: change.SecurityPatch, describe: typed((*builder).secretScanningAlert)},
	"secret_scanning_alert_location":         {kind: change.SecurityPatch, describe: untyped((*builder).secretLocation)},
	"secret_scanning_scan":                   {ignored: "a scan"},
	"security_advisory":                      {kind: change.SecurityPatch, describe: typed((*builder).securityAdvisory)},
	"security_and_analysis":                  {kind: change.ConfigChange, describe: untyped((*builder).securityAndAnalysis)},
	"sponsorship":                            {ignored: "sponsorship"},
	"star":                                   {ignored: starred},
	"status":                                 {ignored: checks},
	"sub_issues":                             {ignored: tracking},
	"team":                                   {kind: change.AccessChange, describe: typed((*builder).teamEvent)},
	"team_add":                               {kind: change.AccessChange, describe: typed((*builder).teamAdd)},
	"user":                                   {kind: change.AccessChange, describe: typed((*builder).user)},
	"watch":                                  {ignored: starred},
	"workflow_dispatch":                      {kind: change.Other, describe: untyped((*builder).workflowDispatch)},
	"workflow_job":                           {ignored: "part of a workflow run"},
	"workflow_run":                           {kind: change.Other, describe: typed((*builder).workflowRun)},
}

// typed is for what reads go-github's type of the event.
func typed[T any](describe func(*builder, *T)) func(*builder, any) {
	return func(b *builder, payload any) {
		if p, ok := payload.(*T); ok {
			describe(b, p)
		}
	}
}

// untyped is for what go-github has no type for, or one that lacks most of it.
func untyped(describe func(*builder)) func(*builder, any) {
	return func(b *builder, _ any) { describe(b) }
}

// describe fills in what the kind of event tells.
func (b *builder) describe(payload any) {
	b.c.Type = change.Other
	if e, ok := events[b.event]; ok {
		b.c.Type = e.kind
		e.describe(b, payload)
		return
	}
	b.unknown()
}

// unknown says what can be said of an event that came after this was written:
// its subject is the member of its name.
func (b *builder) unknown() {
	member := gjson.Escape(b.event)
	for _, path := range []string{".name", ".title", ".slug", ".login", ".number", ".id"} {
		if name := b.get(member + path); name.Exists() && b.event != "" {
			b.resource(b.event, b.get(member+".id").String(), name.String(), b.get(member+".html_url").String())
			b.subject = name.String()
			break
		}
	}
	b.changes(b.event)
}
