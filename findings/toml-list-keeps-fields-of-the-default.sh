#!/bin/bash
# github.com/BurntSushi/toml v1.6.0; compared with github.com/pelletier/go-toml/v2 v2.4.3
#
# A struct that was filled with defaults before the decoding, the usual way, keeps them in the elements of a
# list: [[server]] without a port gets the port of the default element that happens to have the same index,
# whoever it was of. The list itself has the file's length. An element of a map starts from zero, though it is
# found by name. pelletier's decoder has it the other way round.
#
# One would have guessed that a list in the file replaces the default list, or is merged with it, but not that
# the old elements show through the new ones. As long as the default list is empty, nothing shows.
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

type server struct {
	Name string
	Port int
}

type conf struct {
	List []server
	Map  map[string]server
}

func main() {
	for _, decode := range []func([]byte, any) error{toml.Unmarshal, pelletier.Unmarshal} {
		c := conf{
			List: []server{{"secure", 443}, {"spare", 8443}},
			Map:  map[string]server{"m": {"secure", 443}},
		}
		if err := decode([]byte("[[list]]\nname = \"plain\"\n[map]\nm = {name = \"plain\"}\n"), &c); err != nil {
			panic(err)
		}
		fmt.Println(c.List, c.Map)
	}
}
GO
gorun >"$work/seen"
{ read -r burnt; read -r other; } <"$work/seen"
claim "BurntSushi: the list and the map, with names and ports" "[{plain 443}] map[m:{plain 0}]" "$burnt"
claim "pelletier" "[{plain 0}] map[m:{plain 443}]" "$other"
