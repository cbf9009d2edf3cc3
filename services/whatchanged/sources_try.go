package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
)

// testDelivery is what sources test sends when it is given nothing.
const testDelivery = `{"summary": "Test delivery by whatchanged sources test", "environment": "test", "change_type": "other", "changed_by": "whatchanged sources test"}`

func newSourcesTest(env *Environment, conn *connection) *cobra.Command {
	var secretFile string
	var headers []string
	cmd := &cobra.Command{
		Use:   "test ID URL [FILE]",
		Short: "Send a delivery as the provider would, and show what became of it",
		Long: `Sends a file, or a small change, to a source's webhook URL, proved as the source demands,
and waits to see what became of it. It is recorded like any other. The URL is needed because
only its hash is kept; deliveries of SNS and with OpenID tokens cannot be imitated.`,
		Example: `  whatchanged sources test src_abc123 "$WEBHOOK" --secret-file hook.secret
  whatchanged sources test src_abc123 "$WEBHOOK" push.json -H 'X-GitHub-Event: push' --secret-file hook.secret`,
		Args: args(cobra.RangeArgs(2, 3)),
	}
	cmd.Flags().StringVar(&secretFile, "secret-file", "", "file with the source's secret; - is standard input")
	cmd.Flags().StringArrayVarP(&headers, "header", "H", nil, "a request header, as 'Name: value'; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		header, err := parseHeaders(headers)
		if err != nil {
			return err
		}
		body := []byte(testDelivery)
		if len(given) == 3 {
			if body, err = readInput(env, given[2]); err != nil {
				return err
			}
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		source, err := api.Source(cmd.Context(), given[0])
		if err != nil {
			return err
		}
		secret := ""
		if secretFile != "" {
			secrets, err := readSecrets(env, secretFile)
			if err != nil {
				return err
			}
			secret = secrets[0]
		}
		if header.Get("Content-Type") == "" {
			header.Set("Content-Type", "application/json")
		}
		if err := prove(source, secret, header, body, time.Now()); err != nil {
			return err
		}
		id, err := send(cmd.Context(), given[1], header, body)
		if err != nil {
			return err
		}
		return printOutcome(cmd.Context(), env, conn, api, source, id)
	}
	return cmd
}

// parseHeaders reads headers as curl takes them.
func parseHeaders(lines []string) (http.Header, error) {
	header := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, usagef("--header %q: want 'Name: value'", line)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return header, nil
}

// prove adds the headers by which a sender with this secret proves itself.
func prove(s client.Source, secret string, h http.Header, body []byte, now time.Time) error {
	switch s.Auth {
	case registry.AuthNone:
		return nil
	case registry.AuthSNS, registry.AuthOIDC:
		return fmt.Errorf("%s asks for auth %s, which only the real sender can prove: send from there, and see `whatchanged deliveries`", s.ID, s.Auth)
	}
	if secret == "" {
		return usagef("%s asks for auth %s: give --secret-file", s.ID, s.Auth)
	}
	switch s.Auth {
	case registry.AuthGitHubHMAC:
		h.Set("X-Hub-Signature-256", "sha256="+sign(sha256Name, secret, body))
	case registry.AuthHMAC:
		kept := registry.Source{Provider: s.Provider, SignatureHeader: s.SignatureHeader, SignatureAlgorithm: s.SignatureAlgorithm}
		name, algorithm := kept.Signature()
		h.Set(name, sign(algorithm, secret, body))
	case registry.AuthGitLabToken:
		h.Set("X-Gitlab-Token", secret)
	case registry.AuthToken:
		if s.SecretHeader == "" {
			h.Set("Authorization", "Bearer "+secret)
		} else {
			h.Set(s.SecretHeader, secret)
		}
	case registry.AuthBasic:
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(secret)))
	case registry.AuthGitLabSigning, registry.AuthStandardWebhooks:
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			return errors.New("the secret is no signing token: whsec_ and base64")
		}
		id, stamp := "test-"+rand.Text(), strconv.FormatInt(now.Unix(), 10)
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
		h.Set("Webhook-Id", id)
		h.Set("Webhook-Timestamp", stamp)
		h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	default:
		return fmt.Errorf("%s asks for auth %s, which this version does not know", s.ID, s.Auth)
	}
	return nil
}

const sha256Name = "sha256"

// sign returns the body's HMAC in hexadecimal.
func sign(algorithm, secret string, body []byte) string {
	hash := sha256.New
	if algorithm != sha256Name {
		hash = sha512.New
	}
	mac := hmac.New(hash, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// send posts a delivery, and returns its id once it is on disk.
func send(ctx context.Context, url string, header http.Header, body []byte) (change.DeliveryID, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var none change.DeliveryID
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return none, usagef("that is no URL")
	}
	r.Header = header
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return none, errors.New("the URL does not answer") // what the client says shows the URL, which is a secret
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return none, fmt.Errorf("read the answer: %w", err)
	}
	if res.StatusCode/100 != 2 {
		return none, fmt.Errorf("refused, as the sender would be: %s %s", res.Status, printable(strings.TrimSpace(string(text))))
	}
	var answer struct {
		Data struct {
			ID change.DeliveryID `json:"delivery_id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Data.ID == none {
		return none, fmt.Errorf("answered %s without a delivery: %s", res.Status, printable(strings.TrimSpace(string(text))))
	}
	return answer.Data.ID, nil
}

// printOutcome waits until a delivery is normalized, and shows what it became.
func printOutcome(ctx context.Context, env *Environment, conn *connection, api *client.Client, source client.Source, id change.DeliveryID) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	d, err := api.Delivery(ctx, id)
	for isNotFound(err) { // it is on disk, and takes a moment more
		select {
		case <-time.After(100 * time.Millisecond):
			d, err = api.Delivery(ctx, id)
		case <-ctx.Done():
			return fmt.Errorf("%s was accepted, and nothing has become of it within 30 s", id)
		}
	}
	if err != nil {
		return err
	}
	if d.SourceID != source.ID {
		return fmt.Errorf("%s was accepted, but the URL is of %s, not of %s", id, d.SourceID, source.ID)
	}
	if conn.json {
		return printJSON(env.Stdout, d)
	}
	fmt.Fprintf(env.Stdout, "%s: %s, from %s", d.ID, d.Outcome, printable(d.Provider))
	if text := why(d); text != "" {
		fmt.Fprintf(env.Stdout, ": %s", printable(text))
	}
	fmt.Fprintln(env.Stdout)
	page, err := api.Changes(ctx, client.ChangeFilter{DeliveryID: id.String()})
	if err != nil {
		return err
	}
	for _, c := range page.Data {
		fmt.Fprintf(env.Stdout, "%s  %s  %s\n", c.ID, c.Type, printable(c.Summary))
	}
	return nil
}

func isNotFound(err error) bool {
	p, ok := errors.AsType[*client.Problem](err)
	return ok && p.Status == http.StatusNotFound
}
