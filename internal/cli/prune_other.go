//go:build !linux

package cli

func systemPruner() pruner { return nil }
