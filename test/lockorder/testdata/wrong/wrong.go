// Package wrong takes locks in ways that lockorder finds.
package wrong

import "sync"

type registry struct {
	mu     sync.Mutex // lock order: 9, alone
	builds map[string]*build
	begun  chan string
}

type build struct {
	mu   sync.Mutex // lock order: 2
	hub  hub
	kind kind
}

type hub struct {
	mu sync.Mutex // lock order: 4
}

type stray struct {
	mu sync.Mutex // want: the lock has no order
}

type kind interface{ name() string }

func (h *hub) name() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return ""
}

func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.builds)
}

func (r *registry) inOrder(b *build) {
	b.mu.Lock()
	b.hub.name()
	_ = r.count()
	b.mu.Unlock()
	r.mu.Lock()
	delete(r.builds, "")
	r.mu.Unlock()
	b.hub.mu.Lock()
	defer b.hub.mu.Unlock()
	go b.look()
}

func (b *build) look() {
	b.mu.Lock()
	defer b.mu.Unlock()
}

func (b *build) backwards() {
	b.hub.mu.Lock()
	defer b.hub.mu.Unlock()
	if b.kind != nil {
		b.look() // want: lock 2 of wrong is taken with lock 4 held
	}
}

func (b *build) throughAnInterface() {
	b.hub.mu.Lock()
	_ = b.kind.name() // want: lock 4 of wrong is taken with lock 4 held
	b.hub.mu.Unlock()
	_ = b.kind.name()
}

// given is called with the lock.
//
// +checklocks:b.mu
func (b *build) given() {
	b.look() // want: lock 2 of wrong is taken with lock 2 held
}

func (r *registry) notAlone(b *build) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.builds {
		b.look() // want: lock 2 of wrong is taken with lock 9 held; something is called with lock 9 held
	}
	r.begun <- "" // want: something is sent with lock 9 held
	select {      // want: something is waited for with lock 9 held
	case <-r.begun:
	default:
	}
	_ = len(<-r.begun)  // want: something is waited for with lock 9 held
	for range r.begun { // want: something is waited for with lock 9 held
	}
}

// lazily takes the lock when what it returns is called, and not before.
func (h *hub) lazily() func() {
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
	}
}

func (b *build) getsAFunction() func() {
	b.hub.mu.Lock()
	defer b.hub.mu.Unlock()
	return b.hub.lazily()
}

// wrapper is a kind that wraps one.
type wrapper struct {
	mu sync.Mutex // lock order: 5
	of kind
}

func (w *wrapper) name() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.of.name() // want: lock 4 of wrong is taken with lock 5 held
}
