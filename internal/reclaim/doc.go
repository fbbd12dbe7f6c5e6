// Package reclaim gives back what dead builds have left in storage: working containers
// with their mounts, bundles, the API's request directories. It owns what a build was seen
// to use (kept in files of the daemon's own, so that it outlives the daemon and the host),
// the rule for what is only that build's, and the helper that removes it.
//
// Three parts, which share the documents of job.go:
//
//   - Reclaimer, in the daemon: is told of each step, waits for the builder's end, and has
//     one helper for each user run at a time. As root it enters no directory of a user's
//     and follows no path of a user's;
//   - Decide, the rule: pure;
//   - Tidy, the helper (buildwatch-reclaim): a process that is the user, and removes what
//     Decide names, by podman's or buildah's own code.
//
// It ends no process but podman's or buildah's `rm` that it has started itself. It may not
// decide when a build is over: a builder that lives is left alone, whatever became of its build.
package reclaim
