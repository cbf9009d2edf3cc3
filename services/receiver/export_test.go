package receiver

// RefuseLocal is the check of each address that is dialled.
var RefuseLocal = refuseLocal
