package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// keptName is the file in which the last good configuration is kept.
const keptName = "last-good.toml"

// Source is where the configuration in force comes from.
type Source string

// The sources.
const (
	SourceFiles    Source = "files"     // the files, all of which are good
	SourceLastGood Source = "last_good" // the one that was in force when they were
	SourceCautious Source = "cautious"  // neither is to be had: see Cautious
)

// InForce is a configuration that a daemon can run with, whatever is in the files.
type InForce struct {
	*Config
	Source   Source
	Problems error // what is wrong with the files; nil with SourceFiles
}

// Choose loads the configuration, see Load. Where a file is bad it takes the last good
// configuration that was kept in the directory, "" for none, and else Cautious: a key
// that was misspelt may be the one that keeps builds from being ended, so the defaults
// are no answer.
func Choose(root, kept string) InForce {
	c, err := Load(root)
	if err == nil {
		return InForce{c, SourceFiles, nil}
	}
	if c, keptErr := loadKept(kept); keptErr == nil {
		return InForce{c, SourceLastGood, err}
	}
	return InForce{Cautious(), SourceCautious, err}
}

// Cautious returns the configuration of a host whose wishes are not known: builds are
// supervised and shown, and none is ended but on its user's word, or root's.
func Cautious() *Config {
	c := Default()
	c.Policy.Abandoned = AbandonedReport
	c.Storage.Reclaim = "report"
	c.Policy.MaxRuntime = 0
	c.Stalled.Policy = policyReport
	c.Ladder.AbortFuse = abortNever
	return c
}

// Keep keeps the configuration in the directory as the last good one.
func (c *Config) Keep(kept string) error {
	content := bytes.NewBufferString("# The configuration that buildwatchd had last when all of its files were good. It is in\n" +
		"# force while one of them is not. Written by buildwatchd: to change something, change those.\n\n")
	if err := c.Print(content); err != nil {
		return err
	}
	name := filepath.Join(kept, keptName)
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, content.Bytes()) {
		return nil
	}
	file, err := os.CreateTemp(kept, ".new-")
	if err != nil {
		return err
	}
	_, err = file.Write(content.Bytes())
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("keep the configuration: %w", err)
	}
	return nil
}

// loadKept reads what Keep has written, by the rules for every other file.
func loadKept(kept string) (*Config, error) {
	if kept == "" {
		return nil, unix.ENOENT
	}
	d, err := openDir(kept)
	if err != nil {
		return nil, err
	}
	defer d.close()
	data, err := d.read(keptName)
	return assemble([]file{{d.join(keptName), data, err}})
}
