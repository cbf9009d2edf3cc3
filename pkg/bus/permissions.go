package bus

import (
	"slices"
	"strings"

	"whatchanged/pkg/change"
)

// The users of the servers: one a service, one that makes backups and puts them
// back, one that makes the streams, and one that may do all of it, for
// everything in one process.
const (
	UserReceiver   = "receiver"
	UserNormalizer = "normalizer"
	UserWriter     = "writer"
	UserAPI        = "api"
	UserBackup     = "backup"
	UserAdmin      = "admin"
	UserServe      = "serve"
)

// Users lists the users of services that run apart, the admin last. A service
// that is new is a line here and its rights in rightsOf.
func Users() []string {
	return []string{UserReceiver, UserNormalizer, UserWriter, UserAPI, UserBackup, UserAdmin}
}

// InboxPrefix begins the subjects on which a user's answers come, so that no
// user can listen to another's.
func InboxPrefix(user string) string {
	if user == "" {
		return "_INBOX"
	}
	return "_INBOX_" + user
}

// Permissions are the subjects that a user publishes on and subscribes to. What
// is denied is so even where a wider subject is allowed.
type Permissions struct {
	Publish     []string
	DenyPublish []string
	Subscribe   []string
}

// PermissionsOf returns what a user needs, and nothing more; false when there is
// no such user.
func PermissionsOf(user string) (Permissions, bool) {
	g := grants{reads: map[string]bool{}, own: map[string]bool{}, drops: map[string]bool{}}
	if !g.grant(user) {
		return Permissions{}, false
	}
	return g.permissions(user), true
}

const (
	jsAPI   = "$JS.API."
	bucket  = "KV_"
	ownInfo = "$SYS.REQ.USER.INFO"
	allJSZ  = "$SYS.REQ.SERVER.PING.JSZ"
)

// durables lists the durable consumers of each stream, and the one subject that
// each reads, empty for all.
func durables() []durableOf {
	return []durableOf{
		{Deliveries, NormalizerFresh, subjectOf(Deliveries, change.Fresh)},
		{Deliveries, NormalizerBulk, subjectOf(Deliveries, change.Bulk)},
		{Deliveries, RawWriter, ""},
		{Changes, Writer, subjectOf(Changes, change.Fresh)},
		{Changes, WriterBulk, subjectOf(Changes, change.Bulk)},
		{Audit, AuditWriter, ""},
		{Fetch, Fetcher, ""},
	}
}

type durableOf struct{ stream, name, filter string }

// allStreams lists every stream that we have, those of buckets too.
func allStreams() []string {
	return []string{bucket + BucketRegistry, bucket + BucketState, Deliveries, Changes, Audit, Dead, Fetch, Advisory}
}

// grants collects what a user may do.
type grants struct {
	publish []string
	hears   []string        // subjects, beside the answers
	reads   map[string]bool // streams that it reads by consumers of its own making
	own     map[string]bool // durables that it consumes
	drops   map[string]bool // durables that it deletes
}

// grant adds what a user does. Who looks for a subject that is refused finds
// here which part needs it.
func (g *grants) grant(user string) bool {
	g.may(ownInfo)
	g.info(allStreams()...) // settings and ends, to see at start that they are safe
	switch user {
	case UserReceiver:
		g.registry()
		g.commit()
	case UserNormalizer:
		g.registry()
		g.commit() // what the fetcher and the repairer take in
		g.consume(NormalizerFresh, NormalizerBulk, Fetcher)
		g.may("changes.*", "fetch.*")
		g.letters()
		g.readAll(Deliveries, Changes) // replays, and what is not written yet
		g.look()
		g.may(damageSubject)
		g.state("lease.replayer", "lease.repairer", "replays.*")
		g.readAll(bucket + BucketState) // the list of replays is watched
	case UserWriter:
		g.registry()
		g.consume(RawWriter, Writer, WriterBulk, AuditWriter)
		g.may("changes.*", "fetch.*") // what the reconciler normalizes again
		g.letters()
		g.readAll(Deliveries, Changes, Audit)
		g.look()
		g.purge(Deliveries, Changes, Audit)
		g.may("$KV." + BucketRegistry + ".usage.*.*") // what the keeper measured
		g.hears = append(g.hears, damageSubject)
		g.state("lease.auditor", "lease.counter", "lease.keeper", "lease."+Removing, auditKey, counterKey, "reconciler.*")
	case UserAPI:
		g.registry()
		g.may("$KV." + BucketRegistry + ".>") // who manages it
		g.commit()
		g.may("audit.*", "changes.*", "fetch.*") // and who re-drives dead letters
		g.letters()
		g.readAll(Deliveries, Changes, bucket+BucketState)
		g.look()
		g.list()
		g.may(damageSubject)
		g.state("lease.dead.*", "replays.*")
	case UserBackup:
		g.readAll(bucket + BucketRegistry)
		g.may("$KV."+BucketRegistry+".>", "audit.*")
		g.drop(AuditWriter)                        // and the audit trail is written again from all that the bus has
		g.state("lease."+Removing, "reconciler.*") // the second is how far the rows were that a restore replaces
	case UserAdmin:
		g.look()
		g.list()
		g.state("lease.>")
		g.api("INFO") // what the account may hold, before a bucket is made
		for _, stream := range allStreams() {
			g.api("STREAM.CREATE."+stream, "STREAM.UPDATE."+stream)
		}
	case UserServe:
		for _, other := range Users() {
			g.grant(other)
		}
	default:
		return false
	}
	return true
}

func (g *grants) may(subjects ...string) { g.publish = append(g.publish, subjects...) }

func (g *grants) api(requests ...string) {
	for _, r := range requests {
		g.may(jsAPI + r)
	}
}

// info sees the settings and the ends of streams.
func (g *grants) info(streams ...string) {
	for _, s := range streams {
		g.api("STREAM.INFO." + s)
	}
}

// registry follows the registry, and shows by a heartbeat that it does.
func (g *grants) registry() {
	g.readAll(bucket + BucketRegistry)
	g.may("$KV." + BucketRegistry + ".heartbeat")
}

// commit publishes frames of deliveries on any lane, and remembers how far
// their chains are.
func (g *grants) commit() {
	g.may(subjectOf(Deliveries, "*"))
	g.api("CONSUMER.INFO." + Deliveries + "." + NormalizerFresh) // how far it is behind
	g.state("chain.*.*")
}

// consume works on durable consumers, each on the stream it is of.
func (g *grants) consume(names ...string) {
	for _, d := range durables() {
		if !slices.Contains(names, d.name) {
			continue
		}
		g.own[d.name] = true
		made := "CONSUMER.CREATE." + d.stream + "." + d.name
		if d.filter != "" {
			made += "." + d.filter
		}
		g.api(made, "CONSUMER.INFO."+d.stream+"."+d.name, "CONSUMER.MSG.NEXT."+d.stream+"."+d.name)
		// The second form is that of servers whose subjects name domain and account.
		g.may("$JS.ACK."+d.stream+"."+d.name+".>", "$JS.ACK.*.*."+d.stream+"."+d.name+".>")
	}
}

// drop deletes durable consumers, which their owners make again from the start.
func (g *grants) drop(names ...string) {
	for _, d := range durables() {
		if slices.Contains(names, d.name) {
			g.drops[d.name] = true
			g.api("CONSUMER.DELETE." + d.stream + "." + d.name)
		}
	}
}

// readAll reads whole streams, by consumers that last for a moment, and single
// messages.
func (g *grants) readAll(streams ...string) {
	for _, s := range streams {
		g.reads[s] = true
		g.api("CONSUMER.CREATE."+s+".>", "CONSUMER.INFO."+s+".*", "CONSUMER.MSG.NEXT."+s+".*", "CONSUMER.DELETE."+s+".*",
			"DIRECT.GET."+s, "DIRECT.GET."+s+".>", "STREAM.MSG.GET."+s)
		g.may("$JS.FC."+s+".>", "$JS.FC.*.*."+s+".>") // the flow of a watch
	}
}

// look sees how far the durable consumers are.
func (g *grants) look() {
	for _, d := range durables() {
		g.api("CONSUMER.INFO." + d.stream + "." + d.name)
	}
}

// list sees all consumers, and what the servers say of themselves.
func (g *grants) list() {
	for _, s := range allStreams() {
		g.api("CONSUMER.LIST." + s)
	}
	g.may(allJSZ)
}

// letters writes dead letters, which takes the one before of the same thing off.
func (g *grants) letters() {
	g.may("dead.>")
	g.readAll(Dead)
	g.api("STREAM.MSG.DELETE." + Dead)
}

func (g *grants) purge(streams ...string) {
	for _, s := range streams {
		g.api("STREAM.PURGE." + s)
	}
}

// state reads and writes keys of the bucket STATE.
func (g *grants) state(keys ...string) {
	for _, k := range keys {
		subject := "$KV." + BucketState + "." + k
		g.may(subject)
		g.api("DIRECT.GET." + bucket + BucketState + "." + subject)
	}
}

// permissions returns what was granted. Who reads a stream may make consumers of
// any name on it, but not touch those that others work with.
func (g *grants) permissions(user string) Permissions {
	p := Permissions{Publish: slices.Compact(slices.Sorted(slices.Values(g.publish))), Subscribe: append([]string{InboxPrefix(user) + ".>"}, g.hears...)}
	for _, d := range durables() {
		if !g.reads[d.stream] {
			continue
		}
		at := d.stream + "." + d.name
		if !g.drops[d.name] {
			p.DenyPublish = append(p.DenyPublish, jsAPI+"CONSUMER.DELETE."+at)
		}
		if !g.own[d.name] {
			p.DenyPublish = append(p.DenyPublish, jsAPI+"CONSUMER.CREATE."+at, jsAPI+"CONSUMER.CREATE."+at+".>", jsAPI+"CONSUMER.MSG.NEXT."+at)
		}
	}
	p.Publish = slices.DeleteFunc(p.Publish, func(s string) bool {
		return slices.ContainsFunc(p.Publish, func(wider string) bool { return s != wider && covers(wider, s) })
	})
	slices.Sort(p.DenyPublish)
	return p
}

// covers reports whether every subject that narrow stands for is one of wide's.
func covers(wide, narrow string) bool {
	w, n := strings.Split(wide, "."), strings.Split(narrow, ".")
	for i, token := range w {
		switch {
		case token == ">":
			return len(n) > i
		case i >= len(n), n[i] == ">", token != "*" && token != n[i]:
			return false
		}
	}
	return len(w) == len(n)
}
