package api

// meanings is a closed set of words that documents use, in the order in which they are
// listed, each with its meaning for people. Help texts, manual pages and the tables in
// docs/ are made from it.
type meanings[T ~string] []struct {
	word    T
	meaning string
}

func (m meanings[T]) words() []T {
	words := make([]T, len(m))
	for i, row := range m {
		words[i] = row.word
	}
	return words
}

// of is "" for a word of a later version.
func (m meanings[T]) of(word T) string {
	for _, row := range m {
		if row.word == word {
			return row.meaning
		}
	}
	return ""
}
