// Package podmanmachine tries buildwatch in a real podman machine: one that an unmodified
// `podman machine init && podman machine start` has brought up, asked by podman's client
// on its host. It runs in a test machine that is that host (`make podman-machine`), as
// root, and does all as the user dev. What it knows of the machine's inside it asks
// through `podman machine ssh`.
package podmanmachine
