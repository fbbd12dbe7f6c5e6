package owners

import (
	"crypto/rand"
	"strings"
)

// idAlphabet has no vowels, so that no ID spells a word, and none of the
// characters that people mistake for each other. Its 27 characters stand for
// themselves in a unit's name.
const idAlphabet = "23456789bcdfghjkmnpqrstvwxz"

// idLength gives 27^8, 2.8e11, IDs.
const idLength = 8

// NewID returns a random ID.
func NewID() string {
	var id [idLength]byte
	for i := range id {
		id[i] = idAlphabet[randomIndex()]
	}
	return string(id[:])
}

// randomIndex returns an evenly distributed index into idAlphabet.
func randomIndex() int {
	const fair = 256 - 256%len(idAlphabet)
	var b [1]byte
	for {
		rand.Read(b[:])
		if int(b[0]) < fair {
			return int(b[0]) % len(idAlphabet)
		}
	}
}

func validID(id string) bool {
	return len(id) == idLength && strings.Trim(id, idAlphabet) == ""
}
