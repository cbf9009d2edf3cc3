package change

// Action is the dotted verb that stands for a change of this type which names
// none of its own: who filters by deployment.* wants it, too.
func (t Type) Action() string {
	switch t {
	case Deployment:
		return "deployment.recorded"
	case Rollback:
		return "deployment.rollback"
	case ConfigChange:
		return "config.changed"
	case SecretRotation:
		return "secret.rotated"
	case AccessChange:
		return "access.changed"
	case Incident:
		return "incident.recorded"
	case DatabaseMigration:
		return "migration.recorded"
	case "":
		return string(Other)
	default:
		return string(t) + ".recorded"
	}
}
