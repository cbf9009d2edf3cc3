package cloudtrail

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

const maxTags = 50

// tagPaths are where requests and answers have tags: as a list of pairs, or as
// an object.
var (
	tagPaths      = []string{"tags", "tagList", "tagsList", "tagSet.items", "tagSet", "tagSpecificationSet.items.0.tags", "tag.items"}
	answeredPaths = []string{"instancesSet.items.0.tagSet.items", "tagList", "tags"}
)

// tags returns the tags that the call sets, or else those the record says the
// thing has, as "key:value".
func (r *record) tags() []string {
	var tags []string
	if strings.Contains(r.request.Raw, `"tag`) {
		for _, path := range tagPaths {
			tags = collect(tags, r.request.Get(path))
		}
	}
	if len(tags) == 0 && strings.Contains(r.response.Raw, `"tag`) {
		for _, path := range answeredPaths {
			tags = collect(tags, r.response.Get(path))
		}
	}
	r.context.Get("tagContext.resourceTags").ForEach(func(_, resource gjson.Result) bool {
		tags = collect(tags, resource.Get("tags"))
		return len(tags) < maxTags
	})
	return tags
}

func collect(tags []string, list gjson.Result) []string {
	add := func(key, value string) {
		tag := key + ":" + value
		if key != "" && !strings.HasPrefix(key, "HIDDEN_DUE") && len(tags) < maxTags && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	list.ForEach(func(key, tag gjson.Result) bool {
		switch {
		case tag.IsObject() && list.IsArray():
			add(first(tag.Get("key").String(), tag.Get("Key").String(), tag.Get("tagKey").String()),
				first(tag.Get("value").String(), tag.Get("Value").String(), tag.Get("tagValue").String()))
		case tag.Type == gjson.String && list.IsObject():
			add(key.Str, tag.Str)
		}
		return len(tags) < maxTags
	})
	return tags
}
