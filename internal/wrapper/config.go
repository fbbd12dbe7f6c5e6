package wrapper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// withCgroupsPath returns the OCI runtime configuration with
// linux.cgroupsPath set, and everything else kept byte for byte.
//
// It refuses a configuration that names a cgroup already (podman build
// --cgroup-parent): where the caller chose one, the caller's choice stands.
func withCgroupsPath(config []byte, cgroupsPath string) ([]byte, error) {
	const linuxKey, pathKey = "linux", "cgroupsPath"
	var top, linux map[string]json.RawMessage
	if err := json.Unmarshal(config, &top); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if err := json.Unmarshal(top[linuxKey], &linux); err != nil || linux == nil {
		return nil, errors.New("configuration has no linux section")
	}
	if have := linux[pathKey]; len(have) > 0 && !bytes.Equal(have, []byte(`""`)) && !bytes.Equal(have, []byte("null")) {
		return nil, errors.New("the caller chose its cgroup") // which is an argument of the caller's, and no business of the journal's
	}
	var err error
	if linux[pathKey], err = json.Marshal(cgroupsPath); err != nil {
		return nil, err
	}
	if top[linuxKey], err = json.Marshal(linux); err != nil {
		return nil, err
	}
	return json.Marshal(top)
}
