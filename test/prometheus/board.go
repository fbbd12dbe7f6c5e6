package prometheus

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Board is what is looked at of the dashboard.
type Board struct{ Panels []Panel }

// Panel is one of its.
type Panel struct {
	Title, Type string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ Expr, LegendFormat string }
	FieldConfig struct{ Defaults struct{ Unit string } }
}

// ReadBoard reads the dashboard in dist/prometheus.
func ReadBoard(dist string) (b Board, err error) {
	text, err := os.ReadFile(filepath.Join(dist, "dashboards", "buildwatch.json"))
	if err != nil {
		return Board{}, err
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return Board{}, err
	}
	if len(b.Panels) == 0 {
		return Board{}, errors.New("a dashboard without panels")
	}
	return b, nil
}

// Variables are those of the dashboard, for a rate over an interval and all instances.
func Variables(interval string) *strings.Replacer {
	return strings.NewReplacer("$__rate_interval", interval, "$instance", ".*")
}

// Server is a Prometheus that has yet to be started: it scrapes the target each second, by the rules in dist/prometheus,
// and is asked at the address. What it stores is in dir.
func Server(dir, dist, target, address string) (*exec.Cmd, error) {
	dist, err := filepath.Abs(dist)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%[1]s/alerts/buildwatch.yaml, %[1]s/rules/buildwatch.yaml]
scrape_configs: [{job_name: buildwatch, static_configs: [{targets: [%[2]q]}]}]
`, dist, target)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address), nil
}

// Ask returns the number of series that a query has; an error is Prometheus's own.
func Ask(address, query string) (int, error) {
	resp, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Error != "" {
		return 0, errors.New(answer.Error)
	}
	return len(answer.Data.Result), nil
}
