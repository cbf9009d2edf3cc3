package redact_test

import (
	"testing"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers/redact"
)

func TestJSON_LeavesOutWhatMayBeSecret(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := string(redact.JSON(gjson.Parse(in))); got != want {
			t.Errorf("JSON(%s)\ngot  %s\nwant %s", in, got, want)
		}
	}
	f(`{"a":1,"masterUserPassword":"x","b":[{"secretString":"s","c":"d"}]}`, `{"a":1,"b":[{"c":"d"}]}`)
	f(`{"secretId":"arn:x","clientRequestToken":"t"}`, `{"secretId":"arn:x"}`)
	f(`{"passwordResetRequired":true,"manageMasterUserPassword":false}`, `{"passwordResetRequired":true,"manageMasterUserPassword":false}`)
	f(`{"name":"/p","value":"s3cr3t"}`, `{"name":"/p"}`)
	f(`{"tagSpecificationSet":{"items":[{"tags":[{"key":"env","value":"prod"}]}]}}`,
		`{"tagSpecificationSet":{"items":[{"tags":[{"key":"env","value":"prod"}]}]}}`)
	f(`{"tagSet":{"items":[{"key":"env","value":"prod"}]}}`, `{"tagSet":{"items":[{"key":"env","value":"prod"}]}}`)
	f(`{"instanceType":{"value":"m5.large"},"userData":{"value":"IyEv"}}`, `{"instanceType":{"value":"m5.large"}}`)
	f(`{"environment":{"variables":{"DB":"x"}}}`, `{"environment":{}}`)
	f(`{"authorization":{"action":"write"},"headers":{"Authorization":"Bearer x","Cookie":"a=b","accept":"*/*"}}`,
		`{"authorization":{"action":"write"},"headers":{"accept":"*/*"}}`)
	f(`{"kind":"Secret","data":{"pass":"aHVudGVyMg=="},"type":"Opaque"}`, `{"kind":"Secret","type":"Opaque"}`)
	f(`{"kind":"ConfigMap","data":{"level":"info","db_pwd":1}}`, `{"kind":"ConfigMap","data":{"level":"info","db_pwd":1}}`)
	f(`{"x-api-key":"k","aws_access_key_id":"a","pwd":"p"}`, ``)
	f(`{"password":"x"}`, ``)
	f(`null`, ``)
	f(`"text"`, `"text"`)
	f(`[]`, ``)
}
