package chdb

import "time"

// SetCloseGrace changes how long Close waits.
func (e *Engine) SetCloseGrace(d time.Duration) { e.grace = d }
