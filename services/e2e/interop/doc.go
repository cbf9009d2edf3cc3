// Package interop lets real servers of others deliver to ours. It takes minutes
// and downloads what it builds, so it has the build tag interop and runs with
// `make interop`, never with the other tests.
package interop
