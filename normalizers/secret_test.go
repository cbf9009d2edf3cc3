package normalizers

import (
	"encoding/json"
	"strings"
	"testing"
)

// Secrets of tests are put together here, so that nobody takes this file for a leak.
const (
	base62   = "Zk3vQ9xT1mB7nR5wY2cD8fG4hJ6kL0pS"
	base64ed = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	hex32    = "8f14e45fceea167a5a36dedd4bea2543"
	commit40 = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
	uuid     = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
)

func TestMaskSecrets_KnowsThemByShape(t *testing.T) {
	f := func(secret string) {
		t.Helper()
		for _, around := range []string{"%", "it is % now", "(%)", "x=%;", "a/%", "line\n%\n"} {
			s := strings.Replace(around, "%", secret, 1)
			for _, where := range []place{inName, inText, inJSON} {
				if got, found := maskSecrets(s, where); !found || strings.Contains(got, secret[len(secret)-12:]) {
					t.Errorf("in place %d, %q comes out as %q", where, s, got)
				}
			}
		}
	}
	f("ghp_" + base62 + "A1b2")
	f("github_pat_11AAAAAAA0" + base62)
	f("glpat-" + base62[:20])
	f("gloas-" + base62)
	f("AKIA" + "IOSFODNN7EXAMPLE")
	f("AIza" + "Sy" + base62 + "x")
	f("xoxb-" + "123456789012-" + base62)
	f("sk_live_" + base62[:24])
	f("SG." + base62[:22] + "." + base62 + "abcdefghijk")
	f("SK" + hex32)
	f("npm_" + base62 + "abcd")
	f("pypi-AgEIcHlwaS5vcmc" + base62)
	f("dckr_pat_" + base62[:27])
	f("hvs." + base62)
	f("dapi" + hex32)
	f("sk-proj-" + base62)
	f("sdk-" + uuid)
	f("glsa_" + base62 + "_a1b2c3d4")
	f("eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + base62)
	f("whsec_" + base62)
	f("wct_" + base62)
}

func TestMaskSecrets_KnowsThemByWhatStandsBefore(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got, found := maskSecrets(in, inText); got != want || !found {
			t.Errorf("%q\ngot  %q\nwant %q", in, got, want)
		}
	}
	f("postgres://shop:hunter2@db.example/shop", "postgres://shop:***@db.example/shop")
	f("clone https://x-access-token:"+base62+"@git.example/acme/shop", "clone https://x-access-token:***@git.example/acme/shop")
	f("https://"+base62+"@git.example/acme", "https://***@git.example/acme")
	f("redis://:hunter2@cache:6379/0", "redis://:***@cache:6379/0")
	f("DefaultEndpointsProtocol=https;AccountName=acme;AccountKey="+base62+base62+"Zz1x==;EndpointSuffix=x", "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=***;EndpointSuffix=x")
	f("Endpoint=sb://acme/;SharedAccessKeyName=root;SharedAccessKey="+base62+"=", "Endpoint=sb://acme/;SharedAccessKeyName=root;SharedAccessKey=***")
	f("Server=db;User Id=sa;Password=hunter2;", "Server=db;User Id=sa;Password=***;")
	f("https://acme.blob.example/c?sv=2024&sp=r&sig="+base62+"%3D", "https://acme.blob.example/c?sv=2024&sp=r&sig=***")
	f("curl -H 'Authorization: Bearer "+base62+"'", "curl -H 'Authorization: Bearer ***'")
	f("Authorization: Basic YWxpY2U6aHVudGVyMg==", "Authorization: Basic ***")
	f("used Bearer "+base62+" for it", "used Bearer *** for it")
	f("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1", "aws_secret_access_key = ***")
	f("API_KEY="+hex32, "API_KEY=***")
	f("auth_token: "+hex32, "auth_token: ***")
	f("export DB_PASSWORD='hunter2'", "export DB_PASSWORD='***'")
	f("--set db.password=hunter2 --wait", "--set db.password=*** --wait")
	f("password: hunter22", "password: ***")
	f("post to https://hooks.slack.com/services/T00000000/B00000000/"+base62[:24], "post to https://hooks.slack.com/services/***")
	f("the key is "+base64ed+".", "the key is ***.")
	f("the key is "+base62+"aB3+dE5/==", "the key is ***")
	f("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nafter", "***\nafter")
	f(`{"log":"{\"password\":\"hunter2\"}"}`, `{"log":"{\"password\":\"***\"}"}`)
}

func TestMaskSecrets_InJSON(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got, _ := maskSecrets(in, inJSON); got != want || !json.Valid([]byte(got)) {
			t.Errorf("%s\ngot  %s\nwant %s", in, got, want)
		}
	}
	f(`{"password":"it's \"so\" secret","a":1}`, `{"password":"***","a":1}`)
	f(`{"db_password" : "x"}`, `{"db_password" : "x"}`) // what is this short says nothing
	f(`{"auth_token": "`+hex32+`"}`, `{"auth_token": "***"}`)
	f(`{"Authorization":"Bearer `+hex32+`"}`, `{"Authorization":"Bearer ***"}`)
	f(`{"content":"`+base62+`"}`, `{"content":"***"}`)
	f(`{"text":"a\n`+"ghp_"+base62+`\nb"}`, `{"text":"a\n***\nb"}`)
	f(`{"text":"\u003cghp_`+base62+`\u003e"}`, `{"text":"\u003c***\u003e"}`)
	f(`{"requestId":"`+base62+`","etag":"`+base62+`","x-amz-id-2":"`+base62+`"}`, `{"requestId":"`+base62+`","etag":"`+base62+`","x-amz-id-2":"`+base62+`"}`)
	f(`{"secret":"MY_DB2_SECRET_NAME_V1","token":"deploy-token-v2-production"}`, `{"secret":"MY_DB2_SECRET_NAME_V1","token":"deploy-token-v2-production"}`)
}

func TestMaskSecrets_LeavesWhatIsNone(t *testing.T) {
	for _, s := range []string{
		"", "plain words", "password reset by mail", "Password: reset flow", "token expired", "Fix the token: parser", "rotate secret: done by vault",
		"commit " + commit40, "sha256:" + hex32 + hex32, "image@sha256:" + hex32 + hex32, "md5 " + hex32, uuid, strings.ToUpper(uuid),
		"Merge branch 'feature/JIRA-1234-AddNewCheckoutFlowForEUCustomers2024'",
		"arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
		"arn:aws:states:us-east-1:123456789012:execution:Deploy:" + base62,
		"arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db/password-AbCdEf",
		"MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=", "MDU6TGFiZWwxMzYyOTM0Mzg5MDEyMzQ1Njc4OTAxMjM0NTY=", "C_kwDOGq3yNtoAKDZkY2IwOWI1YjU3ODc1ZjMzNGY2MWFlYmVk",
		"sha512-" + base62 + base62 + "==", "SHA256:" + base62 + "abcdefghijk",
		"AmazonEC2ContainerRegistryReadOnlyAccessForEverybody2024", "AWSReservedSSO_AdministratorAccess_0123456789abcdef",
		"/subscriptions/3f2504e0-4f89-41d3-9a0c-0305e82c3301/resourceGroups/Shop-Prod/providers/Microsoft.Compute/virtualMachines/Web01",
		"https://github.example/Acme/Shop/blob/" + commit40 + "/README.md", "git@github.example:acme/shop.git", "https://github.example/acme/shop",
		"projects/acme-prod/locations/europe-west1/operations/operation-1696431862379-606e8b1c0a3d4-12345678-9abcdef0",
		"shop-7d9f8b6c5d-x2x4z", "s3://acme-logs/AWSLogs/123456789012/CloudTrail/us-east-1/2026/01/05/123456789012_CloudTrail_us-east-1_20260105T1100Z_AbCdEfGhIjKlMnOp.json.gz",
		"Change-Id: I8473b95934b5732ac55d26311a706c9c2bde9940", "sk-learn-pipeline-component-for-everyone", "keyboard-layout", "PASSWORD=$DB_PASSWORD", "password=***", "token=<token>", "{{ .Values.password }}",
		"-----BEGIN CERTIFICATE-----\n" + base62 + base62 + "\n-----END CERTIFICATE-----", "https://docs.example/document/d/" + base62 + "/edit",
		"ghp_short", "AKIA is how they begin", "user@example.com: hello", "time=2026-01-05T11:00:00Z", "max_tokens=4096000000",
	} {
		if got, found := maskSecrets(s, inText); found {
			t.Errorf("%q is taken for a secret: %q", s, got)
		}
	}
}

func TestMaskSecrets_AllocatesNothingWithoutOne(t *testing.T) {
	text := strings.Repeat("Fix login: see https://github.example/acme/shop/commit/"+commit40+" and MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI= \n", 20)
	if n := testing.AllocsPerRun(100, func() { maskSecrets(text, inText) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMaskSecrets(f *testing.F) {
	f.Add("password=hunter2 ghp_"+base62, `{"a":"b"}`)
	f.Add("https://u:p@h/ -----BEGIN PRIVATE KEY----- x", `{"password":"a\"b","c":"d\\"}`)
	f.Add("Authorization: Bearer "+base62, `["token=\u0041bcdef0123456789"]`)
	f.Add(`\"secret\":\"`+base62+`\"`, `{"x":"{\"password\":\"abcd\\\\\"}"}`)
	f.Fuzz(func(t *testing.T, text, doc string) {
		for _, where := range []place{inName, inText, inJSON} {
			once, found := maskSecrets(text, where)
			if found != (once != text) {
				t.Fatalf("%q becomes %q, found %v", text, once, found)
			}
			if found && strings.Count(once, "*") < strings.Count(text, "*") {
				t.Fatalf("%q becomes %q", text, once)
			}
		}
		if !json.Valid([]byte(doc)) {
			return
		}
		if got, _ := maskSecrets(doc, inJSON); !json.Valid([]byte(got)) {
			t.Fatalf("%s is no JSON any more: %s", doc, got)
		}
	})
}

func BenchmarkMaskSecrets_None(b *testing.B) {
	text := strings.Repeat("Fix login: see https://github.example/acme/shop/commit/"+commit40+" in the session's cookie\n", 20)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		maskSecrets(text, inText)
	}
}

// A body is as large as a delivery may be, and whoever knows a webhook's URL
// chooses what is in it: nothing may make this take the square of its length,
// which for these sizes is far more than the time that all tests have.
func TestMaskSecrets_GoesOnceThroughWhatIsLarge(t *testing.T) {
	const size = 2 << 20
	f := func(piece string) {
		t.Helper()
		maskSecrets(strings.Repeat(piece, size/len(piece)), inJSON)
	}
	f("a ")
	f(base62 + " ")
	f(base62 + ".")
	f(base62 + "/")
	f(base62 + "+")
	f("eyJ-")
	f("sk-")
	f("SG.")
	f("hooks.slack.com/services/")
	f("token=")
	f(`token:`)
	f(`"token":"`)
	f(`\"token\":\"`)
	f("token = ")
	f("authorization: bearer ")
	f("a://b:")
	f("a://b@")
	f("http://" + base62)
	f("sha256:" + base62)
	f(keyBegin + base62)
	f(keyBegin + keyLabel)
	f(keyBegin + keyLabel + keyEnd)
	f(`\`)
	f(`\"`)
}
