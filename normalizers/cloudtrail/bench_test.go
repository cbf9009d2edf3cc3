package cloudtrail_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"whatchanged/normalizers"
	"whatchanged/normalizers/cloudtrail"
	"whatchanged/normalizers/generic"
	"whatchanged/normalizers/normtest"
	"whatchanged/pkg/change"
)

func BenchmarkNormalize(b *testing.B) {
	for _, name := range []string{"attach-administrator", "open-to-the-world", "instances", "service-on-behalf", "sign-in"} {
		b.Run(name, func(b *testing.B) {
			record := normtest.Records(b, payload(b, name))[0]
			normtest.Bench(b, cloudtrail.New(), record, func() any { return new(wireRecord) })
		})
	}
}

// BenchmarkLogFile takes a log file of a thousand records through everything
// that is done to a delivery, beside decoding it.
func BenchmarkLogFile(b *testing.B) {
	var file bytes.Buffer
	file.WriteString(`{"Records":[`)
	names := []string{"attach-administrator", "open-to-the-world", "instances", "service-on-behalf", "sign-in"}
	for i := range 1000 {
		if i > 0 {
			file.WriteByte(',')
		}
		record := bytes.TrimSpace(payload(b, names[i%len(names)]))
		file.Write(bytes.Replace(record, []byte(`"eventID": "`), fmt.Appendf(nil, `"eventID": "%d-`, i), 1))
	}
	file.WriteString(`]}`)
	set := normalizers.Set{"cloudtrail": cloudtrail.New(), normalizers.Generic: generic.New()}
	received := normtest.Received
	b.Run("process", func(b *testing.B) {
		b.SetBytes(int64(file.Len()))
		b.ReportAllocs()
		for b.Loop() {
			d := &change.Delivery{ID: change.DeliveryID{1}, Org: "org", SourceID: "src_1", ReceivedAt: change.At(received), Body: file.Bytes()}
			if res := set.Process(d, normalizers.Settings{}, received, time.Time{}); res.Outcome != change.Stored {
				b.Fatal(res.Reason)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(file.Len()))
		b.ReportAllocs()
		for b.Loop() {
			var into struct{ Records []wireRecord }
			if err := json.Unmarshal(file.Bytes(), &into); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// payload returns the body of a golden case.
func payload(tb testing.TB, name string) []byte {
	tb.Helper()
	archive, err := txtar.ParseFile("testdata/" + name + ".txtar")
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range archive.Files {
		if f.Name == "body.json" {
			return f.Data
		}
	}
	tb.Fatal(os.ErrNotExist)
	return nil
}

// wireRecord is a CloudTrail record as a Go program would declare it.
type wireRecord struct {
	EventVersion, EventTime, EventSource, EventName, AWSRegion string
	SourceIPAddress, UserAgent, ErrorCode, ErrorMessage        string
	RequestID, EventID, SharedEventID, EventType               string
	EventCategory, RecipientAccountID, VPCEndpointID           string
	ReadOnly, ManagementEvent                                  bool
	SessionCredentialFromConsole                               string
	UserIdentity                                               struct {
		Type, PrincipalID, ARN, AccountID, AccessKeyID, UserName, InvokedBy string
		SessionContext                                                      struct {
			SessionIssuer struct{ Type, PrincipalID, ARN, AccountID, UserName string }
			Attributes    struct{ CreationDate, MFAAuthenticated string }
		}
	}
	RequestParameters   map[string]any
	ResponseElements    map[string]any
	ServiceEventDetails map[string]any
	AdditionalEventData map[string]any
	Resources           []struct{ ARN, AccountID, Type string }
	TLSDetails          map[string]string
}
