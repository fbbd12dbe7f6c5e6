// Package api holds the documents of buildwatchd's control API: HTTP with JSON bodies
// over the unix socket [ControlSocket]. Package client asks for them; a program in
// another language needs nothing but these names, see docs/api.md.
//
// A build is shown as [Build], with all that is known of it as [BuildDetail], and what
// happens to builds as [Event]. Their fields take words from closed sets, such as
// [State] and [Reason]; the method Meaning of each word says for people what it means.
//
// # Stability
//
// Paths, JSON names and words are stable within /v1: they are added, never removed and
// never given another meaning. So pass over names and words that you do not know: a
// daemon may be newer than its client. What is for people (an [Error]'s Message, a [Fact]'s
// Value, meanings) may change with every release; programs compare codes and words.
//
// The package imports nothing but the standard library, and does no I/O.
package api
