package aws_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"whatchanged/normalizers/aws"
)

const topic = "arn:aws:sns:us-east-1:123456789012:changes"

var (
	snsKey  = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
	snsTime = time.Date(2026, 3, 30, 15, 0, 0, 0, time.UTC)
)

func key(tb testing.TB) *rsa.PrivateKey {
	tb.Helper()
	k, err := snsKey()
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// certificate returns the PEM of a certificate for a key, valid for a day
// around snsTime.
func certificate(tb testing.TB, private crypto.Signer) []byte {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"},
		NotBefore: snsTime.Add(-24 * time.Hour), NotAfter: snsTime.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// signedMessage returns a message as SNS posts it. names says in which order
// the texts are signed: it is written here a second time on purpose.
func signedMessage(tb testing.TB, version string, fields map[string]any) []byte {
	tb.Helper()
	all := map[string]any{
		"Type": "Notification", "MessageId": "m-1", "TopicArn": topic, "Message": `{"a":"é\n"}`, "Timestamp": "2026-03-30T15:00:00.000Z",
		"SignatureVersion": version, "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123abcd.pem",
		"UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
	}
	maps.Copy(all, fields)
	names := []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	if all["Type"] != "Notification" {
		names = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	}
	var text strings.Builder
	for _, name := range names {
		if value, ok := all[name].(string); ok {
			text.WriteString(name + "\n" + value + "\n")
		}
	}
	var sum []byte
	hash := crypto.SHA256
	if version == "1" {
		hash = crypto.SHA1
		s := sha1.Sum([]byte(text.String()))
		sum = s[:]
	} else {
		s := sha256.Sum256([]byte(text.String()))
		sum = s[:]
	}
	sent, err := rsa.SignPKCS1v15(rand.Reader, key(tb), hash, sum)
	if err != nil {
		tb.Fatal(err)
	}
	all["Signature"] = base64.StdEncoding.EncodeToString(sent)
	b, err := json.Marshal(all)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func verify(tb testing.TB, body []byte, now time.Time) error {
	tb.Helper()
	cert, err := aws.ParseCertificate(certificate(tb, key(tb)))
	if err != nil {
		tb.Fatal(err)
	}
	m, err := aws.ParseMessage(body)
	if err != nil {
		return err
	}
	return m.Verify(cert, now)
}

func TestVerify_TakesBothVersionsAndAllTypes(t *testing.T) {
	confirmation := map[string]any{
		"Type": "SubscriptionConfirmation", "Token": "t0k", "Message": "You have chosen to subscribe",
		"SubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" + topic + "&Token=t0k",
	}
	unsubscribe := maps.Clone(confirmation)
	unsubscribe["Type"] = "UnsubscribeConfirmation"
	for what, fields := range map[string]map[string]any{
		"plain": nil, "with a subject": {"Subject": "Hello"}, "with an empty subject": {"Subject": ""}, "with a null subject": {"Subject": nil},
		"confirmation": confirmation, "end of the subscription": unsubscribe,
		"with attributes, which are not signed": {"MessageAttributes": map[string]any{"k": map[string]any{"Type": "String", "Value": "v"}}},
	} {
		for _, version := range []string{"1", "2"} {
			if err := verify(t, signedMessage(t, version, fields), snsTime); err != nil {
				t.Errorf("%s, version %s: %v", what, version, err)
			}
		}
	}
	lambda := bytes.Replace(signedMessage(t, "2", nil), []byte("SigningCertURL"), []byte("SigningCertUrl"), 1)
	if err := verify(t, lambda, snsTime); err != nil {
		t.Errorf("names as Lambda writes them: %v", err)
	}
}

func TestVerify_RefusesWhatWasChangedOrIsOld(t *testing.T) {
	body := string(signedMessage(t, "2", map[string]any{"Subject": "Hello"}))
	f := func(what string, want error, body string, now time.Time) {
		t.Helper()
		if err := verify(t, []byte(body), now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	replace := func(old, with string) string {
		t.Helper()
		if !strings.Contains(body, old) {
			t.Fatalf("%s is not in %s", old, body)
		}
		return strings.Replace(body, old, with, 1)
	}
	f("another message", aws.ErrBadSignature, replace(`{\"a\"`, `{\"b\"`), snsTime)
	f("another topic", aws.ErrBadSignature, replace("123456789012", "999999999999"), snsTime)
	f("another id", aws.ErrBadSignature, replace("m-1", "m-2"), snsTime)
	f("no subject", aws.ErrBadSignature, replace(`"Subject":"Hello",`, ""), snsTime)
	f("another type", aws.ErrBadSignature, replace("Notification\"", "UnsubscribeConfirmation\""), snsTime)
	f("another time", aws.ErrBadSignature, replace("15:00:00.000Z", "15:00:01.000Z"), snsTime)
	f("version 1 for 2", aws.ErrBadSignature, replace(`"SignatureVersion":"2"`, `"SignatureVersion":"1"`), snsTime)
	f("version 3", aws.ErrBadSignature, replace(`"SignatureVersion":"2"`, `"SignatureVersion":"3"`), snsTime)
	f("no version", aws.ErrBadSignature, replace(`"SignatureVersion":"2",`, ""), snsTime)
	f("not base64", aws.ErrBadSignature, replace(`"Signature":"`, `"Signature":"!`), snsTime)
	f("old", aws.ErrBadTime, body, snsTime.Add(66*time.Minute))
	f("ahead", aws.ErrBadTime, body, snsTime.Add(-6*time.Minute))
	f("not a time", aws.ErrBadTime, string(signedMessage(t, "2", map[string]any{"Timestamp": "now"})), snsTime)
	f("the certificate ended", aws.ErrCertificate, body, snsTime.Add(25*time.Hour))
	f("the certificate has not begun", aws.ErrCertificate, body, snsTime.Add(-25*time.Hour))
	f("the message twice", aws.ErrNotSNS, replace(`"Message":`, `"Message":"evil","Message":`), snsTime)
	f("the message twice, escaped", aws.ErrNotSNS, replace(`"Message":`, `"\u004dessage":"evil","Message":`), snsTime)
	f("the message twice, in another case", aws.ErrNotSNS, replace(`"Message":`, `"message":"evil","Message":`), snsTime)
	f("the message twice, by a letter that folds", aws.ErrNotSNS, replace(`"Message":`, `"Meſſage":"evil","Message":`), snsTime)
	f("a message that is no text", aws.ErrNotSNS, replace(`"MessageId":"m-1"`, `"MessageId":{"a":1}`), snsTime)
	for _, other := range []string{"", "[]", "1", "{}", `{"Type":"Notification"}`, `{"Type":"Other","MessageId":"m","TopicArn":"t","Timestamp":"t","Signature":"s","SigningCertURL":"u"}`} {
		f(other, aws.ErrNotSNS, other, snsTime)
	}
}

func TestURLs_AreOnlyThoseOfSNS(t *testing.T) {
	message := func(name, text string) *aws.Message {
		t.Helper()
		m, err := aws.ParseMessage(signedMessage(t, "2", map[string]any{"Type": "SubscriptionConfirmation", "Token": "t", name: text}))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	cert := func(text string, want bool) {
		t.Helper()
		got, err := message("SigningCertURL", text).CertificateURL()
		if (err == nil) != want || want && got != text {
			t.Errorf("certificate at %q: %q, %v", text, got, err)
		}
	}
	confirm := func(text string, want bool) {
		t.Helper()
		got, err := message("SubscribeURL", text).ConfirmURL()
		if (err == nil) != want || want && got != text {
			t.Errorf("confirm at %q: %q, %v", text, got, err)
		}
	}
	cert("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123abcd.pem", true)
	cert("https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0123abcd.pem", true)
	const query = "?Action=ConfirmSubscription&TopicArn=" + topic + "&Token=t"
	confirm("https://sns.us-east-1.amazonaws.com/"+query, true)
	confirm("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=t", false)
	confirm("https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&TopicArn="+topic, false)
	confirm("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn="+topic+"2", false)
	for _, host := range []string{
		"http://sns.us-east-1.amazonaws.com", "https://sns.us-east-1.amazonaws.com:8443", "https://sns.us-east-1.amazonaws.com.evil.example",
		"https://evil.example", "https://a@sns.us-east-1.amazonaws.com", "https://sns.us-east-1.amazonaws.com@evil.example",
		"https://sns.amazonaws.com", "https://bucket.s3.amazonaws.com", "https://sns.us-east-1.s3.amazonaws.com", "https://xsns.us-east-1.amazonaws.com",
		"https://sns.us-east-1.amazonaws.com.cn.evil.example", "//sns.us-east-1.amazonaws.com", "https://127.0.0.1", "https:sns.us-east-1.amazonaws.com",
		"https://sns.us-east-1.amazonaws.com\\@evil.example", "https://sns.us-east-1.amazonaws.com%2f", "file://sns.us-east-1.amazonaws.com", "",
	} {
		cert(host+"/a.pem", false)
		confirm(host+"/"+query, false)
	}
	cert("https://sns.us-east-1.amazonaws.com/a.pem?x=y", false)
	cert("https://sns.us-east-1.amazonaws.com/a.pem#x", false)
	cert("https://sns.us-east-1.amazonaws.com/a.txt", false)
	cert("https://sns.us-east-1.amazonaws.com/", false)
}

func TestParseCertificate_RefusesWhatIsNone(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{
		"nothing": nil, "HTML": []byte("<html>"), "another kind": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}),
		"nonsense inside": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "not RSA": certificate(t, other),
	} {
		if _, err := aws.ParseCertificate(text); !errors.Is(err, aws.ErrCertificate) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTopicAllowed(t *testing.T) {
	f := func(want bool, arn string, list ...string) {
		t.Helper()
		if got := aws.TopicAllowed(list, arn); got != want {
			t.Errorf("TopicAllowed(%q, %q) = %v", list, arn, got)
		}
	}
	f(true, topic)
	f(true, topic, "x", topic)
	f(true, topic, "arn:aws:sns:*")
	f(true, topic, topic+"*")
	f(true, topic, "*")
	f(false, topic, topic+"2")
	f(false, topic+"2", topic)
	f(false, topic, "arn:aws:sns:eu-west-1:*")
	f(false, topic, "*:changes")
}

func FuzzParseMessage(f *testing.F) {
	f.Add(signedMessage(f, "1", nil))
	f.Add([]byte(`{"Type":"SubscriptionConfirmation","Message":"a","Message":"b"}`))
	f.Add([]byte(`{"Type":1,"Subject":null}`))
	cert, err := aws.ParseCertificate(certificate(f, key(f)))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := aws.ParseMessage(body)
		if err != nil {
			return
		}
		if u, err := m.CertificateURL(); err == nil && !strings.HasPrefix(u, "https://sns.") {
			t.Errorf("certificate at %q", u)
		}
		if m.Verify(cert, snsTime) == nil && m.TopicARN != topic {
			t.Errorf("signed for %q", m.TopicARN)
		}
	})
}
