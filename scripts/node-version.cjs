// Loaded first by every npm script: what runs deployed is Node 22, so what is tried here is Node 22 as well.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major !== 22 || minor < 18) {
  console.error(
    `Node ${process.versions.node} is running, Node 22.18 or a later 22 is needed. ` +
      'On Linux and on macOS `npm ci` brings it; elsewhere put it first on the PATH.',
  );
  process.exit(1);
}
