package receiver_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"whatchanged/pkg/registry"
	"whatchanged/services/receiver"
)

const (
	snsHost  = "sns.us-east-1.amazonaws.com"
	snsCert  = "/SimpleNotificationService-0123abcd.pem"
	topic    = "arn:aws:sns:us-east-1:123456789012:changes"
	snsToken = "2336412f37f"
)

// amazon is SNS: it signs with a key of its own and serves the certificate.
type amazon struct {
	tb     testing.TB
	key    *rsa.PrivateKey
	others *others
}

func openAmazon(tb testing.TB) *amazon {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	a := &amazon{tb: tb, key: key, others: openOthers(tb, snsHost)}
	a.others.serve(snsHost+snsCert, text(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))))
	return a
}

// message returns what SNS posts, signed.
func (a *amazon) message(fields map[string]string) string {
	a.tb.Helper()
	all := map[string]string{
		"Type": "Notification", "MessageId": "m-1", "TopicArn": topic, "Message": `{"detail":"x"}`,
		"Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "SignatureVersion": "2",
		"SigningCertURL": "https://" + snsHost + snsCert,
	}
	maps.Copy(all, fields)
	names := []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	if all["Type"] != "Notification" {
		names = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	}
	var text strings.Builder
	for _, name := range names {
		if value, ok := all[name]; ok {
			text.WriteString(name + "\n" + value + "\n")
		}
	}
	sum := sha256.Sum256([]byte(text.String()))
	sent, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		a.tb.Fatal(err)
	}
	all["Signature"] = base64.StdEncoding.EncodeToString(sent)
	b, err := json.Marshal(all)
	if err != nil {
		a.tb.Fatal(err)
	}
	return string(b)
}

// confirmation returns the message that asks to confirm a subscription.
func (a *amazon) confirmation(fields map[string]string) string {
	all := map[string]string{
		"Type": "SubscriptionConfirmation", "Token": snsToken, "Message": "You have chosen to subscribe to the topic.",
		"SubscribeURL": "https://" + snsHost + "/?Action=ConfirmSubscription&TopicArn=" + url.QueryEscape(topic) + "&Token=" + snsToken,
	}
	maps.Copy(all, fields)
	return a.message(all)
}

// headers returns those that SNS sends with a message of a type.
func snsHeaders(kind, id string) []string {
	return []string{
		"Content-Type: text/plain; charset=UTF-8", "User-Agent: Amazon Simple Notification Service Agent",
		"x-amz-sns-message-type: " + kind, "x-amz-sns-message-id: " + id, "x-amz-sns-topic-arn: " + topic,
	}
}

func TestSNS_TakesWhatItSignedAndNothingElse(t *testing.T) {
	a := openAmazon(t)
	d := openDoor(t, func(s *settings) { s.client = a.others.client })
	_, token := d.create(registry.Source{Auth: registry.AuthSNS, Topics: []string{"arn:aws:sns:us-east-1:123456789012:*"}})
	good := a.message(nil)
	f := func(what, body string, status int, reason string, headers ...string) {
		t.Helper()
		if got := d.post(token, body, headers...); got.status != status || got.reason() != reason {
			t.Errorf("%s: %v, want %d %s", what, got, status, reason)
		}
	}
	f("signed", good, 200, "", snsHeaders("Notification", "m-1")...)
	f("signed, without SNS's headers", good, 200, "")
	f("end of the subscription", a.confirmation(map[string]string{"Type": "UnsubscribeConfirmation"}), 200, "", snsHeaders("UnsubscribeConfirmation", "m-1")...)
	f("compressed", gzipped(good), 200, "", "Content-Encoding: gzip")
	f("no message of SNS", `{"a":1}`, 401, "signature_missing")
	f("not JSON", `hello`, 401, "signature_missing")
	f("raw delivery", `{"a":1}`, 401, "signature_missing", append(snsHeaders("Notification", "m-1"), "x-amz-sns-rawdelivery: true")...)
	f("signed, but said to be raw", good, 401, "signature_missing", append(snsHeaders("Notification", "m-1"), "x-amz-sns-rawdelivery: true")...)
	f("changed", strings.Replace(good, `\"x\"`, `\"y\"`, 1), 401, "bad_signature")
	f("another id in the header", good, 401, "bad_signature", snsHeaders("Notification", "m-2")...)
	f("a certificate from elsewhere", a.message(map[string]string{"SigningCertURL": "https://sns.us-east-1.amazonaws.com.evil.example/a.pem"}), 401, "bad_signature")
	f("old", a.message(map[string]string{"Timestamp": "2020-01-01T00:00:00.000Z"}), 401, "stale_signature")
	f("another topic", a.message(map[string]string{"TopicArn": "arn:aws:sns:us-east-1:999999999999:changes"}), 403, "topic_not_allowed")
	f("a certificate that is not there", a.message(map[string]string{"SigningCertURL": "https://" + snsHost + "/other.pem"}), 503, "certificate_unreachable")
	if n := a.others.count(snsHost + snsCert); n != 1 {
		t.Errorf("the certificate was fetched %d times", n)
	}
	id, _ := d.post(token, good, append(snsHeaders("Notification", "m-1"), "X-GitHub-Event: push", "X-Attribute: x")...).accepted(t)
	stored := d.delivery(id)
	if stored.Header.Get("X-GitHub-Event") != "" || stored.Header.Get("X-Attribute") != "" || stored.Header.Get("X-Amz-Sns-Message-Id") != "m-1" {
		t.Errorf("headers that nobody signed were kept: %v", stored.Header)
	}
}

func TestSNS_SubscriptionsAreConfirmedAtOnce(t *testing.T) {
	a := openAmazon(t)
	d := openDoor(t, func(s *settings) { s.client = a.others.client })
	visits := make(chan string, 10)
	working := func(w http.ResponseWriter, r *http.Request) {
		visits <- r.URL.Query().Get("Token")
		text("<ConfirmSubscriptionResponse/>")(w, r)
	}
	_, sns := d.create(registry.Source{Auth: registry.AuthSNS, Topics: []string{topic}})
	_, password := d.create(registry.Source{Auth: registry.AuthBasic, Provider: "aws"}, "sns:a-long-password")
	_, cdevents := d.create(registry.Source{Auth: registry.AuthSNS, Provider: "cdevents"})
	_, github := d.create(registry.Source{Provider: "github"})
	headers := snsHeaders("SubscriptionConfirmation", "m-1")
	f := func(what, token, body string, status int, reason string, confirms bool, headers ...string) {
		t.Helper()
		before := len(d.stored())
		got := d.post(token, body, headers...)
		if got.status != status || got.reason() != reason {
			t.Errorf("%s: %v, want %d %s", what, got, status, reason)
		}
		visited := drain(visits)
		if (len(visited) == 1) != confirms || confirms && visited[0] != snsToken {
			t.Errorf("%s: visited %q", what, visited)
		}
		if stored := len(d.stored()) > before; stored != (status == 200 || reason == "confirmation_failed") {
			t.Errorf("%s: stored: %v", what, stored)
		}
	}
	good := a.confirmation(nil)
	f("while SNS does not answer", sns, good, 503, "confirmation_failed", false, headers...)
	a.others.serve(snsHost+"/", working)
	f("of the source's topic", sns, good, 200, "", true, headers...)
	f("again", sns, good, 200, "", true, headers...)
	f("without headers", sns, good, 200, "", true)
	f("of a topic that carries another provider's messages", cdevents, good, 200, "", true, headers...)
	f("at a source without demands", d.token, good, 200, "", true, headers...)
	f("at a source with a password", password, good, 200, "", true, append(headers, "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("sns:a-long-password")))...)
	f("at a source with a password, without it", password, good, 401, "signature_missing", false, headers...)
	f("at a source of another provider", github, good, 200, "", false, headers...)
	f("of another topic", sns, a.confirmation(map[string]string{"TopicArn": topic + "2"}), 403, "topic_not_allowed", false, headers...)
	f("with another URL", d.token, a.confirmation(map[string]string{"SubscribeURL": "https://169.254.169.254/?Action=ConfirmSubscription&TopicArn=" + topic}), 401, "bad_subscribe_url", false, headers...)
	for what, forged := range map[string]string{
		"forged": strings.Replace(good, snsToken, "another", 1), "unsigned": `{"Type":"SubscriptionConfirmation","MessageId":"m-1","TopicArn":"` + topic + `","Timestamp":"` +
			time.Now().UTC().Format(time.RFC3339) + `","SubscribeURL":"https://` + snsHost + `/","Signature":"AA==","SignatureVersion":"2","SigningCertURL":"https://` + snsHost + snsCert + `"}`,
	} {
		f(what, d.token, forged, 401, "bad_signature", false, headers...)
		f(what, sns, forged, 401, "bad_signature", false, headers...)
	}
	a.others.serve(snsHost+"/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+snsHost+"/elsewhere", http.StatusFound)
	})
	f("while SNS redirects", sns, good, 503, "confirmation_failed", false, headers...)
	if n := a.others.count(snsHost + "/elsewhere"); n != 0 {
		t.Error("a redirect was followed")
	}
	if strings.Contains(d.log.String(), snsToken) {
		t.Error("the token of a confirmation is in the log")
	}
}

func drain(from chan string) (all []string) {
	for {
		select {
		case one := <-from:
			all = append(all, one)
		default:
			return all
		}
	}
}

// Who posts to us may name any host; ours to refuse what is not outside.
func TestOutside_NothingOnThisMachineIsFetched(t *testing.T) {
	for _, address := range []string{"127.0.0.1:443", "[::1]:443", "169.254.169.254:80", "[fe80::1]:443", "0.0.0.0:443", "[::ffff:127.0.0.1]:443", "224.0.0.1:443"} {
		if err := receiver.RefuseLocal("tcp", address, nil); err == nil {
			t.Errorf("%s is dialled", address)
		}
	}
	for _, address := range []string{"192.0.2.1:443", "10.0.0.1:443", "[2001:db8::1]:443"} {
		if err := receiver.RefuseLocal("tcp", address, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}
