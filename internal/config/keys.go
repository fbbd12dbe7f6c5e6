package config

import (
	"net/netip"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/internal/limits"
)

// key is one thing that can be set.
type key struct {
	name string // section and name with a dot between
	kind kind   // type, default, bounds and the field of Config
	doc  string // for people: sentences, without line breaks
}

// section returns the part before the last dot.
func (k key) section() string { return k.name[:strings.LastIndexByte(k.name, '.')] }

// base returns the part after it.
func (k key) base() string { return k.name[strings.LastIndexByte(k.name, '.')+1:] }

const (
	// A step shorter than this ends before the kernel has killed anything.
	minTimeout = 10 * time.Millisecond
	maxTimeout = 10 * time.Minute
	// In less than a second too little happens under emulation to tell a hang.
	minStalled = time.Second
	maxStalled = 24 * time.Hour
	minRuntime = time.Second
	maxRuntime = 30 * 24 * time.Hour
)

// keys is every key there is, in the order in which they are printed. Keys of
// one section stand together. Those of [limits.user.NAME] and [limits.mode.MODE] are
// made as they are met, see who.go.
var keys = append([]key{
	{
		name: "log.level",
		kind: oneOf(func(c *Config) *string { return &c.Log.Level }, "info", "error", "warning", "info", "debug"),
		doc:  "The least severe entries that are logged. At info, each build's start and end is one entry; debug adds each step between.",
	},
	{
		name: "metrics.listen",
		kind: loopback{
			field:  func(c *Config) *[]netip.AddrPort { return &c.Metrics.Listen },
			preset: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 16786),
		},
		doc: "Where Prometheus metrics are served: loopback IP addresses, each with a port. Without web_config every local user can read them; they hold numbers only, no user's data. Other addresses are those of buildwatchd-metrics.socket.",
	},
	{
		name: "metrics.web_config",
		kind: path(func(c *Config) *string { return &c.Metrics.WebConfig }),
		doc:  "A file of Prometheus's exporter-toolkit with TLS and users for the metrics, of all addresses: see docs/metrics.md. What is changed in it counts within 10 s, users and certificates at once. While the file is bad, or not root's alone to write, no metrics are served.",
	},
	{
		name: "ladder.kill_timeout",
		kind: timeout(time.Second, func(c *Config) *time.Duration { return &c.Ladder.KillTimeout }),
		doc:  "How long the processes of an ended build's containers may take to go after SIGKILL.",
	},
	{
		name: "ladder.owner_timeout",
		kind: timeout(3*time.Second, func(c *Config) *time.Duration { return &c.Ladder.OwnerTimeout }),
		doc:  "How long the podman or buildah process of a build that was stopped may take to tidy up (working containers, mounts) after its containers were ended, before it gets SIGTERM.",
	},
	{
		name: "ladder.stop_timeout",
		kind: timeout(800*time.Millisecond, func(c *Config) *time.Duration { return &c.Ladder.StopTimeout }),
		doc:  "How long systemd may take to stop the build's scope.",
	},
	{
		name: "ladder.abort_fuse",
		kind: oneOf(func(c *Config) *string { return &c.Ladder.AbortFuse }, abortUser, abortNever, abortUser),
		doc:  "Whose FUSE connections are aborted when a process of a dead build waits for them and does not end by SIGKILL, which ends that file system for whoever uses it. user: what the build itself serves, fuse-overlayfs for its storage, and what the build's user serves, if it is mounted for that user alone and no process but the build's uses it. What another user has mounted, serves or uses is never touched.",
	},
	{
		name: "stalled.after",
		kind: stalledFor(func(c *Config) *time.Duration { return &c.Stalled.After }),
		doc:  "After what time a live build is called stalled: none of its processes has run for so long, and emulated ones among them hang, each thread waiting in a futex for another.",
	},
	{
		name: "stalled.policy",
		kind: oneOf(func(c *Config) *string { return &c.Stalled.Policy }, policyReport, policyReport, policyKill),
		doc:  "What is done about a stalled build: report it (list, log, metrics), or also kill it, as buildwatchctl stop would.",
	},
	{
		name: "stalled.kill_after",
		kind: stalledFor(func(c *Config) *time.Duration { return &c.Stalled.KillAfter }),
		doc:  "With policy kill, for how long a build must have been called stalled before it is ended. One that goes on meanwhile is not.",
	},
	{
		name: "policy.abandoned",
		kind: oneOf(func(c *Config) *string { return &c.Policy.Abandoned }, AbandonedEnd, AbandonedEnd, AbandonedReport),
		doc:  "What is done with a build that nobody wants any more, because its owner has ended, its client is gone or max_runtime is over. end: what is left of it is ended. report: nothing is sent to it; it is listed as abandoned, logged once and counted, until it ends by itself. buildwatchctl stop, and the deadline of buildwatchctl run --timeout, are users' wishes and end a build in either case.",
	},
	{
		name: "policy.max_runtime",
		kind: duration{field: func(c *Config) *time.Duration { return &c.Policy.MaxRuntime }, min: minRuntime, max: maxRuntime, none: true},
		doc:  "How long a build may run, counted from its first RUN step, or from its start by buildwatchctl run. When it is over the build is ended, with the reason deadline. It holds for builds that an earlier daemon has begun as well. A build of buildwatchctl run --timeout ends by the earlier of the two.",
	},
	{
		name: "on_end.start",
		kind: template(func(c *Config) *string { return &c.OnEnd.Start }),
		doc:  "The template of a systemd service, such as notify-build@.service, of which an instance is started when a build is gone, with the build's ID as its instance. What is known of the build is in /run/buildwatch-ended/ID, for EnvironmentFile=: see docs/hooks.md. Empty: none.",
	},
	{
		name: "storage.reclaim",
		kind: oneOf(func(c *Config) *string { return &c.Storage.Reclaim }, "own", "own", "report", "off"),
		doc:  "What is done with what a dead build has left in storage: working containers with their mounts, bundles, request directories. own: what was seen to be only that build's is removed, by podman or buildah, as the build's user. report: it is only counted and logged. off: nothing is looked at.",
	},
	{
		name: "limits.connections_per_user",
		kind: integer{field: func(c *Config) *int { return &c.Limits.ConnectionsPerUser }, preset: 64, min: 1, max: 4096},
		doc:  "How many connections to each of the daemon's sockets one user may have open at the same time.",
	},
}, propertyKeys()...)

// propertyKeys are the limits of every build, called as systemd calls them.
func propertyKeys() []key {
	var made []key
	for _, name := range limits.Grantable() {
		made = append(made, key{
			name: sectionLimits + "." + name,
			kind: property{name: name, row: func(c *Config) *limits.Properties { return &c.Limits.Builds.All }},
			doc:  limits.Describe(name) + " (" + name + "= of its scope, systemd.resource-control(5)).",
		})
	}
	return made
}

// What is done about what was found.
const (
	abortNever   = "never"
	abortUser    = "user"
	policyReport = "report"
	policyKill   = "kill"
)

// stalledFor is the kind of the times of section [stalled].
func stalledFor(field func(*Config) *time.Duration) duration {
	return duration{field: field, preset: 10 * time.Minute, min: minStalled, max: maxStalled}
}

// timeout is the kind of a ladder step's key.
func timeout(preset time.Duration, field func(*Config) *time.Duration) duration {
	return duration{field: field, preset: preset, min: minTimeout, max: maxTimeout}
}

// lookup returns the key of that dotted name.
func lookup(name string) (key, bool) {
	for _, k := range keys {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}

// isSection reports whether any key is in the section.
func isSection(name string) bool {
	for _, k := range keys {
		if k.section() == name {
			return true
		}
	}
	return false
}
