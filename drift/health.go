package drift

// Health is the health of a target's objects, taken together.
type Health struct {
	// Status is the worst of Objects: failed, else progressing, else current. It
	// is unwatched in place of the last two.
	Status HealthStatus
	// Objects in the order of the release.
	Objects []ObjectHealth
	// Blocked says of a failure that only the time is up, while an object is
	// Blocked: to any other release that would happen as well.
	Blocked bool
	// Unwatched are the kinds of which nothing is seen. Of their objects Objects
	// have what was seen last.
	Unwatched []Unwatched
}

// ObjectHealth is the health of one object.
type ObjectHealth struct {
	Object ObjectID
	Status HealthStatus
	// Message says what is missing or failed: "1 of 2 pods ready", "pod
	// web-7c9d-x2x: ImagePullBackOff: …".
	Message string
	// Gone is set of what is not there, or on its way out: it is put back as soon as
	// it can be, and no commit is to blame.
	Gone bool
	// Blocked is set while its controller waits for a pod of an earlier release.
	Blocked bool
}

// HealthStatus is a state of health.
type HealthStatus string

const (
	Current     HealthStatus = "current" // as declared, and serving
	Progressing HealthStatus = "progressing"
	Failed      HealthStatus = "failed"
	// StatusUnwatched is that of a target, never of an object: some of its objects
	// cannot be watched, so nothing good can be said of them.
	StatusUnwatched HealthStatus = "unwatched"
)
