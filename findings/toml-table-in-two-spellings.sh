#!/bin/bash
# github.com/pelletier/go-toml/v2 v2.4.3; compared with github.com/BurntSushi/toml v1.6.0
#
# In TOML `[limit.a]` with a line below it, `[limit]` with `a = {…}` and `limit = {a = {…}}` are the same document. Into
# a map that holds defaults they are decoded to two different values: the first two keep the map's other entries, and what
# the entry's default has besides; the third keeps nothing of either.
#
# One would have guessed that a decoder's result depends on the document, not on how it is written: a
# configuration's defaults go as soon as somebody puts a table on one line.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/BurntSushi/toml@v1.6.0 github.com/pelletier/go-toml/v2@v2.4.3
cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/BurntSushi/toml"
	pelletier "github.com/pelletier/go-toml/v2"
)

type limit struct{ Tasks, Memory int }

type conf struct{ Limit map[string]limit }

func main() {
	texts := []string{"[limit.a]\ntasks = 5\n", "[limit]\na = {tasks = 5}\n", "limit = {a = {tasks = 5}}\n"}
	for _, decode := range []func([]byte, any) error{pelletier.Unmarshal, toml.Unmarshal} {
		for _, text := range texts {
			c := conf{map[string]limit{"a": {1, 2}, "b": {3, 4}}}
			if err := decode([]byte(text), &c); err != nil {
				panic(err)
			}
			fmt.Println(c.Limit)
		}
	}
}
GO
gorun >"$work/seen"
mapfile -t seen <"$work/seen"
claim "pelletier: [limit.a]" "map[a:{5 2} b:{3 4}]" "${seen[0]}"
claim "pelletier: [limit] and a = {…}" "map[a:{5 2} b:{3 4}]" "${seen[1]}"
claim "pelletier: limit = {a = {…}}" "map[a:{5 0}]" "${seen[2]}"
for i in 3 4 5; do
	claim "BurntSushi, spelling $((i - 2))" "map[a:{5 0} b:{3 4}]" "${seen[i]}"
done
