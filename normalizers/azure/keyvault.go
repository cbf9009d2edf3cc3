package azure

import (
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// vaultOperation is something that Key Vault's own log tells: what happens to
// the secrets inside, which the Activity Log does not see.
// https://learn.microsoft.com/azure/key-vault/general/logging
type vaultOperation struct {
	name string
	typ  change.Type
	past string
	hint string
}

// vaultOperations change something; all others read.
var vaultOperations = []vaultOperation{
	{"SecretSet", change.SecretRotation, "set secret", secrets},
	{"SecretUpdate", change.ConfigChange, "updated secret", secrets},
	{"SecretDelete", change.ConfigChange, "deleted secret", destructive},
	{"SecretPurge", change.ConfigChange, "purged secret", destructive},
	{"SecretRecover", change.ConfigChange, "recovered secret", secrets},
	{"SecretRestore", change.ConfigChange, "restored secret", secrets},
	{"KeyCreate", change.SecretRotation, "created key", secrets},
	{"KeyImport", change.SecretRotation, "imported key", secrets},
	{"KeyRotate", change.SecretRotation, "rotated key", secrets},
	{"KeyRotateIfDue", change.SecretRotation, "rotated key", secrets},
	{"KeyUpdate", change.ConfigChange, "updated key", secrets},
	{"KeyDelete", change.ConfigChange, "deleted key", destructive},
	{"KeyPurge", change.ConfigChange, "purged key", destructive},
	{"KeyRecover", change.ConfigChange, "recovered key", secrets},
	{"KeyRestore", change.ConfigChange, "restored key", secrets},
	{"CertificateCreate", change.SecretRotation, "created certificate", secrets},
	{"CertificateImport", change.SecretRotation, "imported certificate", secrets},
	{"CertificateUpdate", change.ConfigChange, "updated certificate", secrets},
	{"CertificatePolicySet", change.ConfigChange, "changed the policy of certificate", secrets},
	{"CertificateIssuerSet", change.ConfigChange, "changed certificate issuer", secrets},
	{"CertificateContactsSet", change.ConfigChange, "changed the contacts for certificates", ""},
	{"CertificateDelete", change.ConfigChange, "deleted certificate", destructive},
	{"CertificatePurge", change.ConfigChange, "purged certificate", destructive},
	{"CertificateRecover", change.ConfigChange, "recovered certificate", secrets},
	{"VaultPut", change.ConfigChange, "created or updated the vault", secrets},
	{"VaultPatch", change.ConfigChange, "updated the vault", secrets},
	{"VaultDelete", change.Infrastructure, "deleted the vault", destructive},
	{"VaultPurge", change.Infrastructure, "purged the vault", destructive},
	{"VaultRecover", change.Infrastructure, "recovered the vault", secrets},
}

func fromKeyVault(e *event, m *normalizers.Meta) normalizers.Result {
	if shortType(typeOf(e.resourceID)) != "keyvault/vaults" && shortType(typeOf(e.resourceID)) != "keyvault/managedhsms" {
		return normalizers.Ignore("resource log, not the Activity Log")
	}
	var op *vaultOperation
	for i := range vaultOperations {
		if strings.EqualFold(vaultOperations[i].name, e.operation) {
			op = &vaultOperations[i]
		}
	}
	switch {
	case op == nil:
		return normalizers.Ignore("read of a key vault")
	case e.properties.Get("httpStatusCode").Int() >= 400:
		return normalizers.Ignore("refused call of a key vault")
	}
	c := e.change(m)
	c.Type = op.typ
	c.Status = change.Succeeded
	c.RiskHints = normalizers.AddHints(c.RiskHints, secrets, op.hint)
	vault := calm(lastSegment(e.resourceID))
	c.Summary = first(c.ChangedBy, "Somebody") + " " + op.past
	if name, version := vaultObject(e.properties.Get("id").String()); name != "" {
		c.Resource.Name, c.Version = name, version
		c.Resource.ID = e.resourceID + "/" + name
		c.Summary += " " + name + " in key vault " + vault
	} else {
		c.Summary += " " + vault
	}
	return normalizers.One(c, e.key())
}

// vaultObject takes name and version from the id of a secret:
// https://shop.vault.azure.net/secrets/db-password/4387e9f3.
func vaultObject(id string) (name, version string) {
	_, path, ok := strings.Cut(id, "://")
	if !ok {
		return "", ""
	}
	parts := strings.Split(path, "/")
	if len(parts) < 3 {
		return "", ""
	}
	if len(parts) > 3 {
		version = parts[3]
	}
	return parts[2], version
}
