package github

import (
	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

// event is what one of GitHub's events becomes: changes of a type, which words
// in titles and names may still change, or nothing.
type event struct {
	ignored string // why it makes no change
	kind    change.Type
	typed   func(*builder, any) // tells it, from go-github's type
	plain   func(*builder)      // tells it, from what all events have and the payload
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
	"branch_protection_configuration":        {kind: change.ConfigChange, plain: (*builder).protectionConfiguration},
	"branch_protection_rule":                 {kind: change.ConfigChange, typed: as((*builder).branchProtection)},
	"bypass_request_push_ruleset":            {kind: change.AccessChange, plain: (*builder).exemption},
	"bypass_request_secret_scanning":         {kind: change.AccessChange, plain: (*builder).exemption},
	"cache_sync":                             {kind: change.Other, plain: (*builder).cacheSync},
	"check_run":                              {ignored: checks},
	"check_suite":                            {ignored: checks},
	"code_scanning_alert":                    {kind: change.SecurityPatch, typed: as((*builder).codeScanningAlert)},
	"commit_comment":                         {ignored: comment},
	"content_reference":                      {ignored: "preview of a link"},
	"create":                                 {kind: change.Code, typed: as((*builder).createRef)},
	"custom_property":                        {kind: change.ConfigChange, plain: (*builder).customProperty},
	"custom_property_promoted_to_enterprise": {kind: change.ConfigChange, plain: (*builder).customProperty},
	"custom_property_values":                 {kind: change.ConfigChange, plain: (*builder).customPropertyValues},
	"delete":                                 {kind: change.Code, typed: as((*builder).deleteRef)},
	"dependabot_alert":                       {kind: change.SecurityPatch, typed: as((*builder).dependabotAlert)},
	"deploy_key":                             {kind: change.AccessChange, typed: as((*builder).deployKey)},
	"deployment":                             {kind: change.Deployment, typed: as((*builder).deployment)},
	"deployment_protection_rule":             {kind: change.Deployment, typed: as((*builder).deploymentProtection)},
	"deployment_review":                      {kind: change.Deployment, plain: (*builder).deploymentReview},
	"deployment_status":                      {kind: change.Deployment, typed: as((*builder).deploymentStatus)},
	"discussion":                             {ignored: "discussion"},
	"discussion_comment":                     {ignored: comment},
	"dismissal_request_code_scanning":        {kind: change.AccessChange, plain: (*builder).exemption},
	"dismissal_request_dependabot":           {kind: change.AccessChange, plain: (*builder).exemption},
	"dismissal_request_secret_scanning":      {kind: change.AccessChange, plain: (*builder).exemption},
	"enterprise":                             {kind: change.AccessChange, plain: (*builder).enterprise},
	"exemption_request_push_ruleset":         {kind: change.AccessChange, plain: (*builder).exemption},
	"exemption_request_secret_scanning":      {kind: change.AccessChange, plain: (*builder).exemption},
	"fork":                                   {ignored: "fork"},
	"github_app_authorization":               {kind: change.AccessChange, typed: as((*builder).appAuthorization)},
	"gollum":                                 {ignored: "wiki"},
	"installation":                           {kind: change.AccessChange, plain: (*builder).installation},
	"installation_repositories":              {kind: change.AccessChange, plain: (*builder).installationRepositories},
	"installation_target":                    {kind: change.ConfigChange, typed: as((*builder).installationTarget)},
	"integration_installation":               {kind: change.AccessChange, plain: (*builder).installation},
	"integration_installation_repositories":  {kind: change.AccessChange, plain: (*builder).installationRepositories},
	"issue_comment":                          {ignored: comment},
	"issue_dependencies":                     {ignored: tracking},
	"issues":                                 {ignored: tracking},
	"label":                                  {ignored: tracking},
	"marketplace_purchase":                   {kind: change.Other, plain: (*builder).marketplace},
	"member":                                 {kind: change.AccessChange, typed: as((*builder).member)},
	"membership":                             {kind: change.AccessChange, typed: as((*builder).membership)},
	"merge_group":                            {kind: change.Code, plain: (*builder).mergeGroup},
	"meta":                                   {kind: change.ConfigChange, typed: as((*builder).webhookDeleted)},
	"milestone":                              {ignored: tracking},
	"org_block":                              {kind: change.AccessChange, typed: as((*builder).orgBlock)},
	"organization":                           {kind: change.AccessChange, typed: as((*builder).organization)},
	"package":                                {kind: change.Deployment, plain: (*builder).packageVersion},
	"page_build":                             {kind: change.Deployment, typed: as((*builder).pageBuild)},
	"personal_access_token_request":          {kind: change.AccessChange, typed: as((*builder).accessToken)},
	"ping":                                   {ignored: "ping"},
	"project":                                {ignored: tracking},
	"project_card":                           {ignored: tracking},
	"project_column":                         {ignored: tracking},
	"projects_v2":                            {ignored: tracking},
	"projects_v2_item":                       {ignored: tracking},
	"projects_v2_status_update":              {ignored: tracking},
	"public":                                 {kind: change.AccessChange, typed: as((*builder).public)},
	"pull_request":                           {kind: change.Code, typed: as((*builder).pullRequestEvent)},
	"pull_request_review":                    {ignored: "a review changes nothing yet"},
	"pull_request_review_comment":            {ignored: comment},
	"pull_request_review_thread":             {ignored: comment},
	"pull_request_target":                    {kind: change.Code, typed: as((*builder).pullRequestTarget)},
	"push":                                   {kind: change.Code, typed: as((*builder).push)},
	"registry_package":                       {kind: change.Deployment, plain: (*builder).packageVersion},
	"release":                                {kind: change.Code, typed: as((*builder).release)},
	"repository":                             {kind: change.ConfigChange, typed: as((*builder).repository)},
	"repository_advisory":                    {kind: change.SecurityPatch, plain: (*builder).repositoryAdvisory},
	"repository_dispatch":                    {kind: change.Other, plain: (*builder).repositoryDispatch},
	"repository_import":                      {kind: change.Other, typed: as((*builder).repositoryImport)},
	"repository_ruleset":                     {kind: change.ConfigChange, plain: (*builder).ruleset},
	"repository_vulnerability_alert":         {kind: change.SecurityPatch, plain: (*builder).vulnerabilityAlert},
	"secret_scanning_alert":                  {kind: change.SecurityPatch, typed: as((*builder).secretScanningAlert)},
	"secret_scanning_alert_location":         {kind: change.SecurityPatch, plain: (*builder).secretLocation},
	"secret_scanning_scan":                   {ignored: "a scan"},
	"security_advisory":                      {kind: change.SecurityPatch, plain: (*builder).securityAdvisory},
	"security_and_analysis":                  {kind: change.ConfigChange, plain: (*builder).securityAndAnalysis},
	"sponsorship":                            {ignored: "sponsorship"},
	"star":                                   {ignored: starred},
	"status":                                 {ignored: checks},
	"sub_issues":                             {ignored: tracking},
	"team":                                   {kind: change.AccessChange, typed: as((*builder).teamEvent)},
	"team_add":                               {kind: change.AccessChange, typed: as((*builder).teamAdd)},
	"user":                                   {kind: change.AccessChange, typed: as((*builder).user)},
	"watch":                                  {ignored: starred},
	"workflow_dispatch":                      {kind: change.Other, plain: (*builder).workflowDispatch},
	"workflow_job":                           {ignored: "part of a workflow run"},
	"workflow_run":                           {kind: change.Other, typed: as((*builder).workflowRun)},
}

// as is for what reads go-github's type of the event.
func as[T any](tell func(*builder, *T)) func(*builder, any) {
	return func(b *builder, payload any) {
		if p, ok := payload.(*T); ok {
			tell(b, p)
		}
	}
}

// describe fills in what the kind of event tells.
func (b *builder) describe(payload any) {
	e := events[b.event]
	b.c.Type = e.kind
	switch {
	case e.typed != nil:
		e.typed(b, payload)
	case e.plain != nil:
		e.plain(b)
	default:
		b.c.Type = change.Other
		b.unknown()
	}
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
