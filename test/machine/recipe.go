package machine

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

//go:embed setup.sh
var setupScript []byte

// A recipe is all that decides what a root file system contains, short of what
// the suite holds on the day it is made.
type recipe struct {
	Suite    suite
	Packages []string
	Setup    []byte
	Pinning  []byte   `json:",omitempty"`
	env      []string // of the scripts, beyond what the suite says
}

func newRecipe(s suite) recipe {
	r := recipe{Suite: s, Packages: slices.Concat(packages, s.Packages), Setup: setupScript}
	if s.Pins != "" {
		r.Pinning = pinsScript
	}
	return r
}

// dirName is the name of the root file system's directory in the cache: the
// suite and a hash of the whole recipe, so that a changed recipe is never
// served by an old root.
func (r recipe) dirName() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("recipe is not JSON: %v", err)) // only strings and bytes
	}
	sum := sha256.Sum256(text)
	return r.Suite.Name + "-" + hex.EncodeToString(sum[:6])
}
