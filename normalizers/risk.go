package normalizers

import (
	"slices"

	"whatchanged/pkg/change"
)

// Hints: why a change is riskier than it looks, and what was done to it on the
// way in.
const (
	HintProduction         = "production"
	HintForcePush          = "force_push"
	HintDirectPush         = "direct_push_to_default"
	HintUnreviewedMerge    = "unreviewed_merge"
	HintBranchProtection   = "branch_protection_changed"
	HintOutsideHours       = "outside_business_hours"
	HintRootActor          = "root_or_owner_actor"
	HintNoMFA              = "no_mfa"
	HintNewActor           = "new_actor"
	HintDestructive        = "destructive"
	HintPublicExposure     = "public_exposure"
	HintPrivilegeGrant     = "privilege_grant"
	HintAuditDisabled      = "audit_logging_disabled"
	HintEncryptionDisabled = "encryption_disabled"
	HintDeletionProtection = "deletion_protection_disabled"
	HintLargeChange        = "large_change"
	HintFailed             = "failed"
	HintRollback           = "rollback"
	HintDatabase           = "database"
	HintSecrets            = "secrets"
	HintNetwork            = "network"
	HintBreakGlass         = "break_glass"

	// These say what we did, and weigh nothing.
	HintEnvInferred       = "env_inferred"
	HintTimeInferred      = "time_inferred"
	HintTimeClamped       = "time_clamped"
	HintSecretMasked      = "secret_masked"
	HintMetadataTruncated = "metadata_truncated"
)

// Hint is a reason for a risk.
type Hint struct {
	Name   string
	Weight int
	When   string
}

// hintTable has every hint. Weights add up to a risk: one is a remark, two a
// reason to look, four alone a reason to be woken.
var hintTable = []Hint{
	{HintPublicExposure, 4, "something is open to everybody: 0.0.0.0/0, allUsers, a public bucket or repository"},
	{HintAuditDisabled, 4, "a log of who did what is stopped or deleted"},
	{HintBreakGlass, 4, "a way in that is not for every day: a command in a running pod, an emergency role"},
	{HintDestructive, 3, "something is deleted, terminated or purged"},
	{HintEncryptionDisabled, 3, "encryption is off, or its key is to be deleted"},
	{HintProduction, 2, "the environment is production, as said, tagged, set for the source or inferred; not for the API's own changes, whose caller says the risk"},
	{HintForcePush, 2, "a branch's history was written anew"},
	{HintBranchProtection, 2, "the rules of a branch were changed or taken away"},
	{HintRootActor, 2, "the account's root or owner did it"},
	{HintPrivilegeGrant, 2, "somebody may do more than before"},
	{HintDeletionProtection, 2, "what was kept from being deleted no longer is"},
	{HintFailed, 2, "it failed, or was refused"},
	{HintRollback, 2, "an older version or commit is back"},
	{HintSecrets, 2, "a secret was read, changed or found"},
	{HintDirectPush, 1, "a push to the default branch without a pull request"},
	{HintUnreviewedMerge, 1, "merged without anybody's approval"},
	{HintNoMFA, 1, "signed in without a second factor"},
	{HintNewActor, 1, "nobody has seen this actor before"},
	{HintLargeChange, 1, "more than 20 files or 500 lines, or more commits than were sent"},
	{HintDatabase, 1, "a database or its schema"},
	{HintNetwork, 1, "routes, firewalls, names"},
	{HintOutsideHours, 1, "at night or on a weekend: set by nobody so far, as it needs to be known where people work"},
	{HintEnvInferred, 0, "the environment was guessed from names"},
	{HintTimeInferred, 0, "the payload has no time: that of the first receipt stands in"},
	{HintTimeClamped, 0, "the payload's time cannot be: before 1970, or more than a day after the first receipt"},
	{HintSecretMasked, 0, "a secret was in it, and is now ***"},
	{HintMetadataTruncated, 0, "the metadata was larger than 64 KiB and is cut"},
}

// Hints lists every hint, the heaviest first.
func Hints() []Hint { return slices.Clone(hintTable) }

// weights are the hints' by their names.
var weights = func() map[string]int {
	m := make(map[string]int, len(hintTable))
	for _, h := range hintTable {
		m[h.Name] = h.Weight
	}
	return m
}()

// RiskOf returns the risk that hints add up to; low without any.
func RiskOf(hints []string) change.Risk {
	sum := 0
	for _, h := range hints {
		sum += weights[h]
	}
	switch {
	case sum >= 6:
		return change.Critical
	case sum >= 4:
		return change.High
	case sum >= 2:
		return change.Medium
	default:
		return change.Low
	}
}

// AddHints returns hints with those of more that it does not have yet.
func AddHints(hints []string, more ...string) []string {
	for _, hint := range more {
		if hint != "" && !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
	}
	return hints
}
