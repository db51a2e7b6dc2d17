/* SPDX-License-Identifier: MIT */
/*
 * C++: a search tree of objects that are constructed in place, in a map of each kind.
 */
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <unistd.h>
#include <qthread/qalloc.h>

struct Node {
	int key;
	char *text; /* in the dynamic map */
	Node *left = nullptr, *right = nullptr;
	Node(int k, char *t) : key(k), text(t)
	{
	}
};

class Tree
{
      public:
	Tree(mapinfo_t *nodes_map, dynmapinfo_t *texts_map) : nodes(nodes_map), texts(texts_map)
	{
	}
	bool insert(int key)
	{
		Node **place = &root;
		while (*place != nullptr) {
			if ((*place)->key == key)
				return false;
			place = key < (*place)->key ? &(*place)->left : &(*place)->right;
		}
		std::string text = "node " + std::to_string(key);
		char *copy = static_cast<char *>(qalloc_dynmalloc(texts, text.size() + 1));
		void *memory = qalloc_statmalloc(nodes);
		assert(copy != nullptr && memory != nullptr);
		text.copy(copy, text.size());
		copy[text.size()] = '\0';
		*place = new (memory) Node(key, copy);
		return true;
	}
	static int sum(const Node *node)
	{
		if (node == nullptr)
			return 0;
		assert("node " + std::to_string(node->key) == node->text);
		return node->key + sum(node->left) + sum(node->right);
	}
	void clear(Node *node)
	{
		if (node == nullptr)
			return;
		clear(node->left);
		clear(node->right);
		qalloc_dynfree(node->text, texts);
		node->~Node();
		qalloc_statfree(node, nodes);
	}
	Node *root = nullptr;

      private:
	mapinfo_t *nodes;
	dynmapinfo_t *texts;
};

int main()
{
	char nodes_file[] = "/tmp/qalloc-nodes-XXXXXX", texts_file[] = "/tmp/qalloc-texts-XXXXXX";
	assert(mkstemp(nodes_file) >= 0 && mkstemp(texts_file) >= 0);
	const off_t filesize = static_cast<off_t>(4) << 20;
	auto nodes = static_cast<mapinfo_t *>(
		qalloc_makestatmap(filesize, nullptr, nodes_file, sizeof(Node), 3));
	auto texts =
		static_cast<dynmapinfo_t *>(qalloc_makedynmap(filesize, nullptr, texts_file, 3));
	assert(nodes != nullptr && texts != nullptr);

	Tree tree(nodes, texts);
	int wanted = 0;
	for (int i = 0; i < 2000; i++) {
		int key = i * 7919 % 1009;
		if (tree.insert(key))
			wanted += key;
	}
	Node *root = tree.root;
	qalloc_checkpoint();
	qalloc_cleanup();

	nodes = static_cast<mapinfo_t *>(qalloc_loadmap(nodes_file));
	texts = static_cast<dynmapinfo_t *>(qalloc_loadmap(texts_file));
	assert(nodes != nullptr && texts != nullptr);
	assert(Tree::sum(root) == wanted);
	Tree(nodes, texts).clear(root);
	qalloc_cleanup();
	unlink(nodes_file);
	unlink(texts_file);
	std::puts("tree: the sum is right");
	return EXIT_SUCCESS;
}
