package api

import (
	"encoding/json"
	"testing"
	"time"
)

// TestSecondsAreNumbersOfSeconds, in both directions.
func TestSecondsAreNumbersOfSeconds(t *testing.T) {
	for text, d := range map[string]time.Duration{
		"0": 0, "3": 3 * time.Second, "0.002345": 2345 * time.Microsecond, "0.000000001": 1, "-1.5": -1500 * time.Millisecond, "3600": time.Hour,
	} {
		if got, err := json.Marshal(Seconds(d)); err != nil || string(got) != text {
			t.Errorf("%s is written as %s, %v", d, got, err)
		}
		var read Seconds
		if err := json.Unmarshal([]byte(text), &read); err != nil || time.Duration(read) != d {
			t.Errorf("%s is read as %s, %v", text, read, err)
		}
	}
	for _, text := range []string{`"3s"`, "1e10", "-1e300", "[]", "true"} {
		read := Seconds(7)
		if err := json.Unmarshal([]byte(text), &read); err == nil || read != 7 {
			t.Errorf("%s is read as %s, %v", text, read, err)
		}
	}
}
