package leases

import (
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// aDatabase is one in which each network has lent something to its containers.
func aDatabase(t *testing.T, lent map[string][]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), database)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		for network, containers := range lent {
			bucket, err := tx.CreateBucket([]byte(network))
			if err != nil {
				return err
			}
			ids, err := bucket.CreateBucket([]byte("ids"))
			if err != nil {
				return err
			}
			for _, container := range containers {
				if err := ids.Put([]byte(container), []byte(`["10.88.0.2"]`)); err != nil {
					return err
				}
			}
		}
		_, err := tx.CreateBucket([]byte("never used"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhichNetworksHaveLentSomethingToAContainer(t *testing.T) {
	path := aDatabase(t, map[string][]string{
		"podman": {"buildah-buildah1", "buildah-buildah23", "0123abcd"},
		"other":  {"buildah-buildah1", "buildah-buildah2345"},
	})
	for container, want := range map[string]int{"buildah-buildah1": 2, "buildah-buildah2345": 1, "buildah-buildah9": 0, "buildah-buildah2": 0} {
		found, err := networksOf(path, container)
		if err != nil || len(found) != want {
			t.Errorf("%s: %v, %v", container, found, err)
		}
	}
	// netavark would take the other's names from DNS, too.
	if found, err := networksOf(path, "buildah-buildah23"); !errors.Is(err, errAlike) {
		t.Errorf("%v, %v", found, err)
	}
	if found, err := networksOf(filepath.Join(t.TempDir(), database), "buildah-buildah1"); err != nil || len(found) != 0 {
		t.Errorf("without a database: %v, %v", found, err)
	}
}
