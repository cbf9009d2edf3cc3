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

// weights add up to a risk: one is a remark, two a reason to look, four alone
// a reason to be woken.
var weights = map[string]int{
	HintProduction:         2,
	HintForcePush:          2,
	HintDirectPush:         1,
	HintUnreviewedMerge:    1,
	HintBranchProtection:   2,
	HintOutsideHours:       1,
	HintRootActor:          2,
	HintNoMFA:              1,
	HintNewActor:           1,
	HintDestructive:        3,
	HintPublicExposure:     4,
	HintPrivilegeGrant:     2,
	HintAuditDisabled:      4,
	HintEncryptionDisabled: 3,
	HintDeletionProtection: 2,
	HintLargeChange:        1,
	HintFailed:             2,
	HintRollback:           2,
	HintDatabase:           1,
	HintSecrets:            2,
	HintNetwork:            1,
	HintBreakGlass:         4,
}

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
