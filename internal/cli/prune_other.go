//go:build !linux

package cli

func systemPruner() pruner { return nil }

func systemPrunerOf(string) (pruner, error) { return nil, errNoPruner }

func builders() ([]string, error) { return nil, errNoPruner }
