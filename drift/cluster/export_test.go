package cluster

// SplitInventories makes inventories be split that are larger than so many bytes.
func SplitInventories(bytes int) func(*Options) {
	return func(o *Options) { o.inventoryPartBytes = bytes }
}
