package normalizers

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// identityHeaders are the headers in which a request names itself the same
// way each time it is sent, most telling first. GitLab's
// X-Gitlab-Webhook-UUID is not among them: it changes with every attempt.
// Gitea's and Forgejo's delivery id does so, too, when somebody sends one again,
// but the body stays, and with a secret its signature: no two events have the
// same, because in each is when the repository was last updated.
var identityHeaders = []struct{ header, prefix string }{
	{"X-Gitea-Signature", "gitea-signature:"},
	{"X-Forgejo-Signature", "forgejo-signature:"},
	{"X-Gitea-Delivery", "gitea:"},
	{"X-Forgejo-Delivery", "forgejo:"},
	{"X-Gogs-Delivery", "gogs:"},
	{"X-Github-Delivery", "github:"},
	{"X-Amz-Sns-Message-Id", "sns:"},
	{"X-Amz-Firehose-Request-Id", "firehose:"},
	{"Webhook-Id", "webhook:"},
	{"Idempotency-Key", "key:"},
	{"X-Goog-Pubsub-Message-Id", "pubsub:"},
	{"Aeg-Output-Event-Id", "eventgrid:"},
	{"X-Request-Uuid", "bitbucket:"},
}

// maxIdentity is the longest identity that is kept whole.
const maxIdentity = 200

// Identity returns what names a request over all its attempts, such as
// "github:72d3162e-...", or "" when nothing does. It goes by headers alone, so
// nothing inside the body can decide it.
func Identity(h http.Header) string {
	if h.Get("X-Gitlab-Event") != "" {
		return gitlabIdentity(h)
	}
	for _, id := range identityHeaders {
		if value := h.Get(id.header); value != "" {
			return id.prefix + identityValue(value)
		}
	}
	if id := h.Get("Ce-Id"); id != "" { // CloudEvents in binary mode
		return "cloudevents:" + identityValue(h.Get("Ce-Source")+"#"+id)
	}
	return ""
}

// gitlabIdentity takes the first that the sender's version of GitLab knows;
// webhook-id and Idempotency-Key have the same value.
func gitlabIdentity(h http.Header) string {
	for _, name := range []string{"Webhook-Id", "Idempotency-Key", "X-Gitlab-Event-Uuid"} {
		if value := h.Get(name); value != "" {
			return "gitlab:" + identityValue(value)
		}
	}
	return ""
}

// identityValue keeps a value as it is when it is short and printable, and
// else its hash.
func identityValue(v string) string {
	if len(v) <= maxIdentity && isOneLine(v) {
		return v
	}
	sum := sha256.Sum256([]byte(v))
	return "sha256-" + hex.EncodeToString(sum[:])
}
