package writer

import "time"

// SweepNow lets the next turn look at everything again.
func SweepNow(r *Reconciler) { r.sweep, r.swept = 0, time.Time{} }

// SweepLater leaves what was found stored alone for an hour.
func SweepLater(r *Reconciler) { r.swept = time.Now() }

// SetNow lets a reconciler believe that it is another time.
func (r *Reconciler) SetNow(now func() time.Time) { r.now = now }

// SetClock lets an accountant believe that it is another time.
func SetClock(a *Accountant, now func() time.Time) { a.now = now }

// SetNow lets the keeper believe that it is another time.
func (k *Keeper) SetNow(now func() time.Time) { k.now = now }
